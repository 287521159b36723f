#!/usr/bin/env python3
"""Several ranks train as one does: the same bits over 200 steps with 1, 2 and 4 ranks, also when a rank is killed and the
training goes on with another number of ranks. A dead, silent, late or unwelcome rank is named by all that are left."""
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import pipeline as p

scratch = p.fresh_scratch()
graph = p.ROOT / "tests/integration/ranks.yaml"
crops = scratch / "crops"
p.run(graph, "--only", "source", "--only", "destination", cache=crops)


def cache_of(name):
    """A cache of its own that has the crops already."""
    if not (scratch / name).exists():
        shutil.copytree(crops, scratch / name)
    return scratch / name


def start(name, ranks, *settings, env=None, words=("run", graph), threads=None):
    values = [w for s in (f"out={scratch / 'out' / name}", f"ranks={ranks}", *settings) for w in ("-p", s)]
    return subprocess.Popen(p.command(*words, *values, "--threads", threads or max(ranks, 1)), text=True,
                            start_new_session=True,
                            env={**p.environment(cache_of(name)), **(env or {})},
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process, status=0, limit=60):
    _, said = process.communicate(timeout=limit)
    p.check(process.returncode == status, "exit", process.returncode, "wanted", status, said)
    return said


def model(name):
    return (scratch / "out" / name / "model.safetensors").read_bytes()


def losses(name):
    """All losses, from the last checkpoint's file."""
    files = [f for f in (scratch / name).rglob("final-*.safetensors")]
    p.check(files, "no final checkpoint of", name)
    data = max(files).read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    first, last = json.loads(data[8:8 + size])["losses"]["data_offsets"]
    return struct.unpack(f"<{(last - first) // 4}f", data[8 + size + first:8 + size + last])


def children(process):
    task = pathlib.Path(f"/proc/{process.pid}/task")
    try:
        return [int(c) for t in task.iterdir() for c in (t / "children").read_text().split()]
    except OSError:
        return []


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, what, limit=30):
    end = time.monotonic() + limit
    while not condition():
        p.check(time.monotonic() < end, "waited too long for", what)
        time.sleep(0.02)


def checkpoint(name):
    return list((scratch / name).rglob("step-*.safetensors"))


# 1 rank with batch 4N is N ranks with batch 4, N = 2 and 4.
ones = {n: start(f"one{n}", 1, f"batch={4 * n}") for n in (2, 4)}
for process in ones.values():
    finish(process)
for n in (2, 4):
    finish(start(f"many{n}", n, f"batch={4 * n}"))
    one, many = losses(f"one{n}"), losses(f"many{n}")
    p.check(len(one) == len(many) == 400, "losses of", len(one), len(many))
    worst = max(abs(a / b - 1) for a, b in zip(one, many))
    p.check(worst < 1e-5, n, "ranks differ by", worst)
    p.check(model(f"one{n}") == model(f"many{n}"), n, "ranks: another model")
    line = json.loads((scratch / f"out/many{n}/metrics.jsonl").read_text().splitlines()[0])
    p.check(line["ranks"] == n and len(line["rank_seconds"]) == n and 0 <= line["comm_wait"] < 1, line)
    print(f"{n} ranks: 200 steps, losses differ by {worst:g}, models equal; {100 * line['comm_wait']:.0f} % of a step waiting")

# Without passes the same world gives the same bits twice; bf16 gradients give others.
for name in ("twice", "again"):
    finish(start(name, 2, "pass=0", "steps=20"))
p.check(model("twice") == model("again"), "the same run, other bits")
finish(start("narrow", 2, "pass=0", "steps=20", "exchange=bf16"))
p.check(model("twice") != model("narrow"), "exchange: bf16 changed nothing")

# Killed with -9, gone on with another number of ranks: as if nothing had been.
often = ("save=10", "steps=60")
finish(start("short", 1, *often))
victim = start("killed", 2, *often)
wait_for(lambda: checkpoint("killed") and len(children(victim)) == 1, "a checkpoint")
os.kill(children(victim)[0], signal.SIGKILL)
begun = time.monotonic()
said = finish(victim, 75)
p.check(time.monotonic() - begun < 10, "took long to notice")
p.check("rank 1 is gone" in said and "was ended by signal 9" in said and "goes on from" in said, said)
finish(start("killed", 1, *often))
p.check(model("killed") == model("short"), "killed and gone on with 1 rank: another model")

# Stopped from the terminal, whose signal reaches all ranks: rank 0 saves, and the others end with it.
victim = start("stopped", 2, "save=10", "steps=100000")
wait_for(lambda: checkpoint("stopped") and len(children(victim)) == 1, "a checkpoint")
left = children(victim)
os.killpg(victim.pid, signal.SIGINT)
finish(victim, 130)
wait_for(lambda: not any(alive(c) for c in left), "rank 1 to end", 5)

# Rank 0 killed, rank 1 stopped: the others say so and end.
victim = start("orphans", 3, "batch=12", "save=10")
wait_for(lambda: checkpoint("orphans") and len(children(victim)) == 2, "a checkpoint")
left = children(victim)
victim.kill()
_, said = victim.communicate(timeout=20)  # ends when the last of them has closed its end
p.check(said.count("rank 0 is gone") == 2, said)
wait_for(lambda: not any(alive(c) for c in left), "them to end", 5)
victim = start("silent", 3, "batch=12", "save=10", env={"UNDERSTUDY_SILENT_SECONDS": "1.5"})
wait_for(lambda: checkpoint("silent") and len(children(victim)) == 2, "a checkpoint")
stopped = max(children(victim))
os.kill(stopped, signal.SIGSTOP)
wait_for(lambda: not any(alive(c) for c in children(victim) if c != stopped), "the others to end")
os.kill(stopped, signal.SIGCONT)
said = finish(victim, 75)
p.check("rank 2 was not heard of for" in said, said)


# Started by a launcher, here ourselves.
def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def launch(name, world, *settings, missing=(), port=None, key=None, seconds="1.5"):
    port = port or free_port()
    key = key or {}
    ranks = {}
    for r in range(world):
        if r not in missing:
            env = {"RANK": str(r), "WORLD_SIZE": str(world), "LOCAL_RANK": str(r), "MASTER_ADDR": "127.0.0.1",
                   "MASTER_PORT": str(port), "UNDERSTUDY_JOIN_SECONDS": seconds,
                   "UNDERSTUDY_JOB_KEY": key.get(r, "the key of this test")}
            ranks[r] = start(name, 0, *settings, env=env, threads=1)
    return ranks


for process in launch("launched", 2, *often, seconds="20").values():
    finish(process)
p.check(model("launched") == model("short"), "launched: another model")
for process in launch("launched", 2, *often, seconds="20").values():
    finish(process)  # nothing is left to train

begun = time.monotonic()
late = launch("late", 3, missing=(2,))
secret = launch("secret", 3, key={1: "not the key of this test"})
taken = socket.socket()
taken.bind(("127.0.0.1", 0))
taken.listen()
port = launch("port", 2, port=taken.getsockname()[1])
for process in late.values():
    p.check("rank 2 has not come" in finish(process, 75), "late")
for r, process in secret.items():
    said = finish(process, 78 if r == 1 else 75)
    p.check("rank 0 has another job key than rank 1" in said if r == 1 else "rank 1 has not come" in said, said)
for r, process in port.items():
    said = finish(process, 75)
    p.check("rank 0 is missing" in said if r else "rank 0 cannot listen on port" in said, said)
taken.close()
print(f"late, unwelcome and shut out ranks ended in {time.monotonic() - begun:.1f} s")
