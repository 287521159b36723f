#!/usr/bin/env python3
"""The remote tier in a bucket: every request is signed as a strict verifier wants it, with and without a session token;
wrong keys, a wrong region and a wrong clock cost the remote, not the run."""
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import pipeline as p
from s3_server import S3Server

GRAPH = p.ROOT / "tests/integration/remote.yaml"
scratch = p.fresh_scratch()


def call(name, env, *words, status=0):
    folder = scratch / name
    full = p.environment(folder / "cache")
    full = {k: v for k, v in full.items() if not k.startswith("AWS_")} | {"XDG_STATE_HOME": str(folder / "state")} | env
    done = subprocess.run(p.command(*words), env=full, capture_output=True, text=True, timeout=300)
    p.check(done.returncode == status, words, "exit", done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout, done.stderr


def run(name, env, url):
    out, _ = call(name, env, "run", GRAPH, "--json", "--remote", url, "-p", f"out={scratch / name}/out")
    lines = p.events(out)
    remote = next(line for line in lines if line["event"] == "remote")
    return remote, p.ran(lines), [line["text"] for line in lines if line["event"] == "warning"]


wanted = None
for title, options in {"plain": {}, "token": {"token": "FwoGZXIvYXdzEBYaD//+/==", "region": "eu-central-1"}, "old": {"conditions": False}}.items():
    server = S3Server("nightfall", **options)
    url = "s3://nightfall/show-1/cache"
    sent, _, warnings = run(f"{title}_first", server.environment(), url)
    refused = [line for line in server.log if line[3]]
    p.check(not refused and not warnings, title, refused[:3], warnings)
    p.check(len(server.store) == sent["objects_sent"] + sent["records_sent"] > 40, title, len(server.store), sent)
    p.check(all(name.startswith("/nightfall/show-1/cache/") for name in server.store), title, list(server.store)[:3])
    got, ran, warnings = run(f"{title}_second", server.environment(), url)
    p.check({node for node, _ in ran} == {"out", "sheet", "table"} and not warnings, title, ran, warnings)
    p.check(not [line for line in server.log if line[3]] and got["objects_sent"] == 0, title, got)
    digests = p.digests(scratch / f"{title}_second/out")
    wanted = wanted or digests
    p.check(digests == wanted and len(wanted) == 5, title, "other outputs")
    print(f"{title}: {len(server.log)} requests, all signed right; second host ran {len(ran)}")
    if title == "token":
        for case, change, code in (("secret", {"AWS_SECRET_ACCESS_KEY": "wrong"}, "SignatureDoesNotMatch"),
                                   ("access", {"AWS_ACCESS_KEY_ID": "NOBODY"}, "InvalidAccessKeyId"),
                                   ("stale", {"AWS_SESSION_TOKEN": "old"}, "InvalidToken"),
                                   ("region", {"AWS_REGION": "us-west-2"}, "AuthorizationHeaderMalformed")):
            before = dict(server.store)
            _, _, warnings = run(case, server.environment() | change, url)
            p.check(len(warnings) == 1 and code in warnings[0] and "going on without it" in warnings[0], case, warnings)
            p.check(p.digests(scratch / case / "out") == wanted and server.store == before, case)
            print("  " + warnings[0])
    server.close()

_, err = call("none", {}, "run", GRAPH, "--remote", "s3://nightfall", "-p", f"out={scratch}/none", status=2)
p.check("$AWS_ACCESS_KEY_ID" in err, err)
