#!/usr/bin/env python3
"""What only a real device shows: ranks that share it through NCCL give the bits of one, also while a comb grows; a rank that
is killed is named and the training goes on; gathered factors and bf16 gradients; frames are the CPU's.

Skipped without a CUDA device. US_TEST_EMULATED=1 runs it on the emulated module instead, to test the test."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import pipeline as p
from ranks import Trainings, children, finish, wait_for

emulated = os.environ.get("US_TEST_EMULATED") == "1"
DEVICE, STEPS, LIMIT = {}, 12 if emulated else 200, 300
if "XDG_CACHE_HOME" in os.environ:
    DEVICE["XDG_CACHE_HOME"] = os.environ["XDG_CACHE_HOME"]  # plans that were chosen
if "UNDERSTUDY_CUDA_LIBS" in os.environ:
    DEVICE["UNDERSTUDY_CUDA_LIBS"] = os.environ["UNDERSTUDY_CUDA_LIBS"]


def has_device():
    done = subprocess.run(p.command("devices"), env={**p.environment("none"), **DEVICE}, capture_output=True, text=True)
    return "cuda:0" in done.stdout


def start(trainings, name, ranks, *settings):
    return trainings.start(name, ranks, *settings, env=DEVICE, words=("--devices", "cuda:0"), threads=4)


def same_bits(trainings, counts, *settings):
    """By that many ranks each: the same losses and the same model."""
    for ranks in counts:
        finish(start(trainings, f"by{ranks}", ranks, *settings), limit=LIMIT)
    for ranks in counts[1:]:
        p.check(trainings.losses(f"by{ranks}") == trainings.losses(f"by{counts[0]}"), ranks, "ranks: other losses")
        p.check(trainings.model(f"by{ranks}") == trainings.model(f"by{counts[0]}"), ranks, "ranks: another model")
    print(f"{trainings.graph.name}: {', '.join(map(str, counts))} ranks, {len(trainings.losses('by1'))} losses, the same bits")


def near(trainings, name, tolerance, *settings):
    """Two ranks against one, but for rounding, within the first steps."""
    for ranks in (1, 2):
        finish(start(trainings, f"{name}{ranks}", ranks, "steps=10", "pass=0", "batch=2", *settings), limit=LIMIT)
    pairs = zip(trainings.losses(f"{name}1"), trainings.losses(f"{name}2"))
    worst = max(abs(b / a - 1) for a, b in pairs)
    p.check(worst < tolerance, name, "is off by", worst)
    print(f"{name}: two ranks within {worst:.1e} of one")


def a_rank_is_killed(trainings):
    victim = start(trainings, "killed", 2, "batch=8", "steps=1000000", "save=20")
    wait_for(lambda: trainings.checkpoint("killed") and len(children(victim)) == 1, "a checkpoint", LIMIT)
    begun = time.monotonic()
    os.kill(children(victim)[0], signal.SIGKILL)
    said = finish(victim, 75)
    took = time.monotonic() - begun
    p.check("rank 1 is gone" in said and "was ended by signal 9" in said and "goes on from" in said, said)
    p.check(took < 30, "took", took, "s to end")
    last = max(int(f.stem.rsplit("-", 1)[1]) for f in trainings.checkpoint("killed"))
    finish(start(trainings, "killed", 1, "batch=8", f"steps={last + 10}", "save=20"), limit=LIMIT)
    finish(start(trainings, "whole", 1, "batch=8", f"steps={last + 10}", "save=20"), limit=LIMIT)
    p.check(trainings.model("killed") == trainings.model("whole"), "gone on after a kill: another model")
    print(f"a killed rank is named after {took:.1f} s, and the training goes on")


def frames_are_the_cpus(trainings):
    folders = []
    for device in ("cuda:0", "cpu"):
        cache = trainings.scratch / f"frames-{device.split(':')[0]}"
        subprocess.run(p.command("run", trainings.graph, "--only", "source", "--only", "destination", "--devices", device),
                       env={**p.environment(cache), **DEVICE}, check=True, capture_output=True)
        objects = {f.name for f in (cache / "objects").rglob("*") if f.is_file()}
        folders.append(objects)
    p.check(folders[0] == folders[1] and folders[0], "crops of the device are not the CPU's")
    print(f"{len(folders[0])} objects of frames: the CPU's")


if emulated:
    place = p.fresh_scratch().parent / "gpu_test_emulated"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    DEVICE.update(p.emulated_device(place))
if not has_device():
    print("skipped: no CUDA device")
    sys.exit(0)
shot = Trainings(p.ROOT / "tests/integration/ranks.yaml", ("source", "destination"))
frames_are_the_cpus(shot)
same_bits(shot, (1, 2, 4), "batch=16", f"steps={STEPS}")
a_rank_is_killed(shot)
near(shot, "factors", 1e-4)
comb = Trainings(p.ROOT / "tests/integration/ranks_comb.yaml", ("source", "destination", "other"))
same_bits(comb, (1, 2), "batch=2", "grow=2", "steps=6")
