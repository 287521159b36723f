#!/usr/bin/env python3
"""The remote tier: a second host takes everything from nginx; a dead, slow or lying server costs time, never a result."""
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import pipeline as p
from nginx import Nginx

GRAPH = p.ROOT / "tests/integration/remote.yaml"
scratch = p.fresh_scratch()
WRITERS = {"out", "sheet", "table"}


def host(name):
    """A host of its own: cache, index, home; and its outputs."""
    folder = scratch / name
    folder.mkdir(exist_ok=True)
    env = p.environment(folder / "cache")
    env.update(XDG_STATE_HOME=str(folder / "state"), HOME=str(folder))
    return env, folder


def start(name, remote, *words, **more):
    env, folder = host(name)
    env.update(more)
    if remote:
        env["UNDERSTUDY_REMOTE"] = remote
    return subprocess.Popen(p.command("run", GRAPH, "--json", "-p", f"out={folder}/out", *words), env=env,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process, limit=120):
    out, err = process.communicate(timeout=limit)
    p.check(process.returncode == 0, "exit", process.returncode, out[-2000:], err[-2000:])
    lines = p.events(out)
    warnings = [line["text"] for line in lines if line["event"] == "warning"]
    for line in lines:
        if line["event"] == "remote":
            lines[-1]["remote"] = line
    return lines[-1], p.ran(lines), warnings


def run(name, remote, *words, **more):
    begun = time.monotonic()
    summary, ran, warnings = finish(start(name, remote, *words, **more))
    return summary, ran, warnings, time.monotonic() - begun


def call(name, remote, *words, status=0, **more):
    env, folder = host(name)
    env.update(UNDERSTUDY_REMOTE=remote, **more)
    done = subprocess.run(p.command(*words), env=env, capture_output=True, text=True, timeout=120)
    p.check(done.returncode == status, words, "exit", done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr


def same_outputs(name):
    p.check(p.digests(scratch / name / "out") == WANTED, name, "has other outputs than without a remote")


alone, everything, _, alone_seconds = run("alone", None)
WANTED = p.digests(scratch / "alone/out")
p.check(alone["ran"] > 20 and len(WANTED) == 5, alone, WANTED)

with Nginx(scratch / "server") as server:
    first, _, warnings, seconds = run("first", server.url)
    p.check(first["ran"] == alone["ran"] and not warnings, first, warnings)
    same_outputs("first")
    stored = server.files()
    puts = [r for r in server.requests() if r[0] == "PUT"]
    p.check(len(stored) > 40 and len(puts) == len(stored) == len({r[2] for r in puts}), "each is sent once", len(puts), len(stored))
    p.check({r[1] for r in puts} == {"201"}, "every PUT is taken", puts[:3])

    second, ran, warnings, seconds = run("second", server.url)
    p.check({node for node, _ in ran} == WRITERS and not warnings, "only outputs are written", sorted(ran, key=str), warnings)
    same_outputs("second")
    p.check([r for r in server.requests() if r[0] == "PUT"] == puts, "nothing is sent twice")
    second_ran = ran

    # A pull fetches what that run did, and nothing else: not the model that the frames were made with.
    def fetched(since):
        return {r[2] for r in server.requests()[since:] if r[0] == "GET" and r[1] == "200" and "/cas/" in r[2]}

    def pull(name):
        since = len(server.requests())
        call(name, server.url, "cache", "pull", GRAPH, "-p", f"out={scratch}/{name}/out")
        return fetched(since)

    wanted, got = fetched(0), pull("pulled")
    p.check(got == wanted and len(got) > 10, "a pull fetches other than a run:", len(got - wanted), len(wanted - got))
    p.check(pull("pulled") == set(), "pulled twice")
    print(f"alone {alone_seconds:.1f} s, second host {seconds:.1f} s: ran {second['ran']}, cached {second['cached']}")

# Behind TLS and a password: push and pull, and what happens without the one or the other.
key, certificate = scratch / "key.pem", scratch / "certificate.pem"
subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate], check=True, capture_output=True)
password = subprocess.run(["htpasswd", "-nb", "farm", "open sesame"], check=True, capture_output=True, text=True).stdout
netrc, wrong_netrc = scratch / "netrc", scratch / "wrong_netrc"
netrc.write_text('machine 127.0.0.1 login farm password "open sesame"\n')
wrong_netrc.write_text("machine 127.0.0.1 login farm password sesame\n")
trusted = {"SSL_CERT_FILE": str(certificate), "UNDERSTUDY_REMOTE_NETRC": str(netrc)}
with Nginx(scratch / "tls_server", auth=password, certificate=(certificate, key)) as server:
    out, _ = call("alone", server.url, "cache", "push", "--json", **trusted)
    pushed = p.events(out)[-1]
    p.check(len(server.files()) == len(stored) == pushed["objects_sent"] + pushed["records_sent"], pushed)
    out, _ = call("alone", server.url, "cache", "push", "--json", **trusted)
    p.check(p.events(out)[-1]["objects_sent"] == 0, "pushed twice", out)
    out, _ = call("alone", server.url, "cache", "push", **trusted)
    p.check(out == f"remote: {len(stored)} there already\n", "and says so", out)
    _, err = call("alone", server.url, "cache", "push", status=75, UNDERSTUDY_REMOTE_NETRC=str(netrc))
    p.check("ertificate" in err, "an unknown certificate is not taken", err)
    _, err = call("alone", server.url, "cache", "push", status=75, SSL_CERT_FILE=str(certificate), UNDERSTUDY_REMOTE_NETRC=str(wrong_netrc))
    p.check("it answers 401" in err, err)
    out, _ = call("pulls", server.url, "plan", GRAPH, "--json", "-p", f"out={scratch}/pulls/out", **trusted)
    p.check(p.events(out)[-1]["run"] == len(second_ran), "plan knows what is there", out)
    p.check(not list((scratch / "pulls/cache/objects").rglob("????????????????????????????????")), "and fetches no object")
    call("pulls", server.url, "cache", "pull", GRAPH, "-p", f"out={scratch}/pulls/out", **trusted)
    _, err = call("alone", server.url.replace("127", "farm:sesame@127"), "cache", "push", status=2)
    p.check("netrc" in err, err)
pulled, ran, _, _ = run("pulls", None)
p.check({node for node, _ in ran} == WRITERS, "what was pulled is enough", ran)
same_outputs("pulls")
_, err = call("alone", "", "cache", "pull", GRAPH, "-p", f"out={scratch}", status=2)
p.check("no remote cache is named" in err, err)

_, err = call("nobody", "http://127.0.0.1:9", "cache", "pull", GRAPH, "-p", f"out={scratch}", status=75)
p.check("did not give all" in err, err)
small = scratch / "small.yaml"  # too few requests for the remote to be given up
small.write_text("understudy: 1\nnodes:\n  plate: {type: synth_plate, frames: 1, width: 64, height: 64}\n")
_, err = call("nobody", "http://127.0.0.1:9", "cache", "pull", small, status=75)
p.check("did not give all" in err, err)

# ---------------------------------------------------------------- misbehaviour

def generous(name, seconds, lost):
    """A figure to read, and a cap that only a hang breaks."""
    print(f"{name}: {seconds:.1f} s, {lost:.1f} s lost on it; without a remote {alone_seconds:.1f} s", flush=True)
    p.check(seconds < 60 + 2 * alone_seconds, name, "took", seconds)


def cases(name, remote, what, **more):
    summary, ran, warnings, seconds = run(name, remote, **more)
    same_outputs(name)
    p.check(len(warnings) == len(set(warnings)), name, "said twice", warnings)
    p.check(any(what in w for w in warnings), name, "no word of", what, warnings)
    generous(name, seconds, summary["remote"]["seconds_lost"])
    return summary, ran, warnings


dead = Nginx(scratch / "dead").url
_, _, warnings = cases("dead", dead, "going on without it")
p.check(len(warnings) == 1 and dead in warnings[0], "one warning that names it", warnings)


def stopped_mid_run(name, number):
    with Nginx(scratch / f"{name}_server") as server:
        begun = time.monotonic()
        process = start(name, server.url)
        seen = []
        for line in process.stdout:
            seen.append(line)
            if '"event":"start"' in line.replace(" ", "") and '"model"' in line:
                server.signal(number)
                break
        rest, err = process.communicate(timeout=120)
        lines = p.events("".join(seen) + rest)
        p.check(process.returncode == 0 and lines[-1]["event"] == "summary", name, err)
        same_outputs(name)
        lost = next(line["seconds_lost"] for line in lines if line["event"] == "remote")
        generous(name, time.monotonic() - begun, lost)
        return [line for line in lines if line["event"] == "warning"]


p.check(stopped_mid_run("killed", signal.SIGKILL), "said that it went away")
p.check(stopped_mid_run("hung", signal.SIGSTOP), "said that it hangs")

with Nginx(scratch / "hung2_server") as server:
    server.signal(signal.SIGSTOP)
    cases("hung_at_once", server.url, "going on without it")


class Liar:
    """Answers every request with what `answer` makes of it."""

    def __init__(self, answer):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/c"
        self.answer = answer
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(connection,), daemon=True).start()

    def one(self, connection):
        with connection:
            try:
                file = connection.makefile("rb")
                head = file.readline().split()
                size = 0
                while (line := file.readline()).strip():
                    if line.lower().startswith(b"content-length:"):
                        size = int(line.split(b":")[1])
                    if line.lower().startswith(b"expect:"):
                        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                while size > 0:
                    size -= len(file.read(min(size, 1 << 20)) or b"x" * size)
                self.answer(connection, head[0].decode(), head[1].decode())
            except (OSError, IndexError):
                pass


def reply(connection, status, body=b"", length=None):
    connection.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body) if length is None else length}\r\nConnection: close\r\n\r\n".encode())
    connection.sendall(body)


def from_store(path):
    file = scratch / "server/data/store" / "/".join(path.split("/")[2:])
    return file.read_bytes() if file.is_file() else None


def half(connection, method, path):
    body = from_store(path)
    if method == "GET" and body:
        reply(connection, 200, body[:len(body) // 2], len(body))
    else:
        reply(connection, 200 if method == "PUT" or body else 404)


def forgetful(connection, method, path):
    """Has every record and swears to have every object, but cannot find one."""
    body = from_store(path)
    if path.startswith("/c/ac/") and body:
        reply(connection, 200, body if method == "GET" else b"")
    elif method == "HEAD":
        connection.sendall(b"HTTP/1.1 200 X\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n")
    else:
        reply(connection, 404 if method == "GET" else 200)


def drip(connection, method, path):
    connection.sendall(b"HTTP/1.1 200 X\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(300):
        connection.sendall(b"U")
        time.sleep(0.2)


cases("garbage", Liar(lambda c, m, u: reply(c, 200, b"<html>no</html>" * 100)).url, "damaged")
cases("errors", Liar(lambda c, m, u: reply(c, 500, b"oops")).url, "it answers 500")
cases("half", Liar(half).url, "cut short")
cases("drip", Liar(drip).url, "going on without it")

summary, ran, warnings, seconds = run("forgetful", Liar(forgetful).url)
same_outputs("forgetful")
print(f"records without objects: ran {summary['ran']}, {seconds:.1f} s, {warnings}, {summary['remote']}")
