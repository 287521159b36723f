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


FRAMES = """understudy: 1
params: {out: {type: path}}
nodes:
  plate: {type: synth_plate, frames: 1001-1004, identity: b, other: a, seed: 2, width: 256, height: 192}
  found: {type: face_detect, image: plate.image}
  pose:  {type: face_align, image: plate.image, faces: found}
  crop:  {type: face_crop, image: plate.image, faces: pose, size: 64}
  other: {type: face_crop, image: plate.other, faces: pose, size: 64}
  comp:  {type: composite, plate: plate.image, faces: crop, swap: other, mask: product, aovs: all, erode_px: -2}
  crops: {type: exr_write, image: crop, path: $(out)/crop.####.exr}
  comps: {type: exr_write, image: comp, path: $(out)/comp.####.exr}
outputs: [crops, comps]
"""


JUDGE = """understudy: 1
params: {out: {type: path}}
nodes:
  gpu:  {type: exr_read, path: $(out)/frames-gpu/comp.####.exr, frames: 1001-1004}
  cpu:  {type: exr_read, path: $(out)/frames-cpu/comp.####.exr, frames: 1001-1004}
  told: {type: compare, image: gpu, reference: cpu}
  file: {type: file_write, file: told, path: $(out)/told.jsonl}
outputs: [file]
"""


def frames_are_the_cpus(scratch):
    """Crops byte for byte; composites but for the last bits of sin, exp and log2, which the mattes are made with."""
    p.need_weights()
    (scratch / "frames.yaml").write_text(FRAMES)
    (scratch / "judge.yaml").write_text(JUDGE)
    crops = []
    for name, device in (("gpu", "cuda:0"), ("cpu", "cpu")):
        subprocess.run(p.command("run", scratch / "frames.yaml", "--devices", device, "-p", f"out={scratch}/frames-{name}"),
                       env={**p.environment(scratch / f"frames-{name}-cache"), **DEVICE}, check=True, capture_output=True)
        crops.append({f.name: f.read_bytes() for f in (scratch / f"frames-{name}").glob("crop.*.exr")})
    differing = [name for name in crops[1] if crops[0].get(name) != crops[1][name]]
    p.check(len(crops[1]) == 4 and not differing, "crops of the device are not the CPU's:", differing)
    p.run(scratch / "judge.yaml", "-p", f"out={scratch}", "--devices", "cpu", cache=scratch / "judge-cache")
    told = p.events((scratch / "told.jsonl").read_text())[-1]
    p.check(told["frames"] == 4 and told["worst_psnr"] > 90, "composites of the device are not the CPU's:", told)
    print(f"crops: the CPU's, byte for byte; composites: PSNR {told['worst_psnr']:.1f} dB at least")


if emulated:
    place = p.fresh_scratch().parent / "gpu_test_emulated"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    DEVICE.update(p.emulated_device(place))
if not has_device():
    print("skipped: no CUDA device")
    sys.exit(0)
shot = Trainings(p.ROOT / "tests/integration/ranks.yaml", ("source", "destination"))
frames_are_the_cpus(shot.scratch)
same_bits(shot, (1, 2, 4), "batch=16", f"steps={STEPS}")
a_rank_is_killed(shot)
near(shot, "factors", 1e-4)
near(shot, "bf16", 5e-2, "precision=bf16", "exchange=bf16")
comb = Trainings(p.ROOT / "tests/integration/ranks_comb.yaml", ("source", "destination", "other"))
same_bits(comb, (1, 2), "batch=2", "grow=2", "steps=6")
