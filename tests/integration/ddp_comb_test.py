#!/usr/bin/env python3
"""A comb that grows trains by several ranks as by one: the same bits with 1, 2 and 4 ranks, also when the number of ranks
changes while a size comes in, and when a rank was killed."""
import json
import os
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import pipeline as p
from ranks import Trainings, children, finish, wait_for

trainings = Trainings(p.ROOT / "tests/integration/ranks_comb.yaml", ("source", "destination", "other"))
start, model = trainings.start, trainings.model


def size_of(name):
    """What the net of a model has grown to."""
    data = model(name)
    return int(json.loads(data[8:8 + int.from_bytes(data[:8], "little")])["__metadata__"]["grown_to"])


# 16 px up to step 6, 32 px up to step 12 (coming in up to 9), then 64 px (coming in up to 15).
for ranks in (1, 2, 4):
    finish(start(f"by{ranks}", ranks))
p.check(size_of("by1") == 64, "it grew to", size_of("by1"))
for ranks in (2, 4):
    p.check(trainings.losses(f"by{ranks}") == trainings.losses("by1"), ranks, "ranks: other losses")
    p.check(model(f"by{ranks}") == model("by1"), ranks, "ranks: another model")

# Stopped at each size, gone on with another number of ranks.
for steps, ranks, size in ((4, 4, 16), (7, 2, 32), (14, 1, 64), (16, 2, 64)):
    finish(start("parts", ranks, f"steps={steps}"))
    p.check(size_of("parts") == size, steps, "steps, at", size_of("parts"))
p.check(model("parts") == model("by1"), "in parts: another model")

# Killed, and gone on with other ranks.
victim = start("killed", 2, "steps=100000", "save=1")
wait_for(lambda: trainings.checkpoint("killed") and len(children(victim)) == 1, "a checkpoint")
os.kill(children(victim)[0], signal.SIGKILL)
said = finish(victim, 75)
p.check("rank 1 is gone" in said and "was ended by signal 9" in said and "goes on from" in said, said)
finish(start("killed", 4))
p.check(model("killed") == model("by1"), "killed and gone on with 4 ranks: another model")

for process in trainings.launch("launched", 2, seconds="20").values():
    finish(process)
p.check(model("launched") == model("by1"), "launched: another model")
