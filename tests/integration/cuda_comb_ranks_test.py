#!/usr/bin/env python3
"""A comb that grows, trained by several ranks on a device (emulated; ranks talk as processes): the bits of one rank, also
with another number of ranks at each size, and when a rank was killed. Without pass up to rounding."""
import os
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import pipeline as p
from ranks import Trainings, children, finish, wait_for

trainings = Trainings(p.ROOT / "tests/integration/ranks_comb.yaml", ("source", "destination", "other"))
DEVICE = p.emulated_device(trainings.scratch)


def start(name, ranks, *settings, device="cuda:0"):
    return trainings.start(name, ranks, "grow=2", "batch=2", *settings, env=DEVICE, words=("--devices", device))


# 16, 32 and 64 px, two steps each; the first of two is one of a size that comes in.
finish(start("here", 1, "steps=6", device="cpu"))
for ranks in (1, 2):
    finish(start(f"by{ranks}", ranks, "steps=6"))
p.check(trainings.model("by1") != trainings.model("here"), "the device was not used")
p.check(trainings.losses("by2") == trainings.losses("by1"), "2 ranks: other losses")
p.check(trainings.model("by2") == trainings.model("by1"), "2 ranks: another model")

for steps, ranks in ((1, 2), (3, 1), (6, 2)):
    finish(start("parts", ranks, f"steps={steps}"))
p.check(trainings.model("parts") == trainings.model("by1"), "in parts: another model")

victim = start("killed", 2, "steps=100000", "save=1")
wait_for(lambda: trainings.checkpoint("killed") and len(children(victim)) == 1, "a checkpoint")
os.kill(children(victim)[0], signal.SIGKILL)
p.check("rank 1 is gone" in finish(victim, 75), "the dead rank is not named")
finish(start("killed", 1, "steps=6"))
p.check(trainings.model("killed") == trainings.model("by1"), "killed and gone on with 1 rank: another model")

whole, shared = (start(f"whole{ranks}", ranks, "steps=6", "pass=0") for ranks in (1, 2))
finish(whole)
finish(shared)
for one, two in zip(trainings.losses("whole1"), trainings.losses("whole2")):
    p.check(abs(two / one - 1) < 1e-4, "without pass: a loss of", two, "instead of", one)
