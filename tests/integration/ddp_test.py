#!/usr/bin/env python3
"""Several ranks train as one does: the same bits over 200 steps with 1, 2 and 4 ranks, also when a rank is killed and the
training goes on with another number of ranks. A dead, silent, late or unwelcome rank is named by all that are left."""
import json
import os
import pathlib
import signal
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import pipeline as p
from ranks import Trainings, alive, children, finish, wait_for

trainings = Trainings(p.ROOT / "tests/integration/ranks.yaml", ("source", "destination"))
scratch, start, launch = trainings.scratch, trainings.start, trainings.launch
model, losses, checkpoint = trainings.model, trainings.losses, trainings.checkpoint

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
