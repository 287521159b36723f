#!/usr/bin/env python3
"""The memory that plan and run tell of a training before it starts, on the CPU and on a device (emulated), and how they
refuse what does not fit."""
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import pipeline as p

p.need_weights()
scratch = p.fresh_scratch()
DEVICE = p.emulated_device(scratch)
graph = scratch / "shot.yaml"
graph.write_text("""understudy: 1
params:
  size:  {type: int, default: 64}
  batch: {type: int, default: 2}
  dims:  {type: int, default: 8}
  ranks: {type: int, default: 0}
nodes:
  plate: {type: synth_plate, frames: 1001-1004, identity: b, other: a, seed: 2, width: 256, height: 192}
  found: {type: face_detect, image: plate.image}
  pose:  {type: face_align, image: plate.image, faces: found}
  crop:  {type: face_crop, image: plate.image, faces: pose, size: $(size), on_missing: plate}
  other: {type: face_crop, image: plate.other, faces: pose, size: $(size)}
  faces: {type: dataset, crops: other}
  model:
    {type: train_swap, source: faces, destination: crop, steps: 3, e_dims: $(dims), d_dims: $(dims), ae_dims: 16,
     batch: $(batch), ranks: $(ranks)}
  swap:  {type: infer_swap, model: model, faces: crop}
  crops: {type: exr_write, image: swap, path: out/swap.####.exr}
outputs: [crops]
""")
PARTS = ["weights", "gradients", "optimizer and average", "activations", "scratch"]
BESIDE = ["faces", "batches", "checkpoint"]
HUGE = ["-p", "batch=256", "-p", "size=512", "-p", "dims=512"]


def call(command, *words, cache="cache", device=False, status=0, **more):
    done = subprocess.run(p.command(command, graph, *words), capture_output=True, text=True, cwd=scratch,
                          env={**p.environment(scratch / cache), **(DEVICE if device else {}), **more})
    p.check(done.returncode == status, command, words, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout, done.stderr


def memory(*words, **more):
    """{(node, place): event} of a plan."""
    events = p.events(call("plan", "--json", *words, **more)[0])
    found = {(e["node"], e["place"]): e for e in events if e.get("event") == "memory"}
    for e in found.values():
        p.check(e["bytes"] == sum(e["parts"].values()), "parts are not the sum:", e)
    return found


# On the CPU, whatever --devices auto finds where there is nothing.
at = memory("--threads", "2", "--devices", "auto")
p.check(set(at) == {("model", "cpu"), ("swap", "cpu")}, at)
model = at["model", "cpu"]
p.check(list(model["parts"]) == PARTS + BESIDE and model["fits"], model)
p.check(model["note"] == "at most 8 faces, one a frame", model["note"])
p.check(at["swap", "cpu"]["tasks"] == 2, at["swap", "cpu"])
larger = memory("-p", "batch=8")["model", "cpu"]["parts"]
p.check(larger["activations"] > 1.5 * model["parts"]["activations"], larger)
p.check(larger["weights"] == model["parts"]["weights"], larger)
wider = memory("-p", "size=128")["model", "cpu"]["parts"]
p.check(wider["faces"] > 3 * model["parts"]["faces"], wider)
two = memory("-p", "ranks=2")["model", "cpu"]
p.check(two["parts"]["weights"] == 2 * model["parts"]["weights"] and two["note"].startswith("2 ranks, "), two)

# As text.
out, _ = call("plan", "--threads", "1")
lines = out.splitlines()
said = [i for i, line in enumerate(lines) if line.startswith("memory: model on cpu: ")]
p.check(len(said) == 1 and re.fullmatch(
    r"memory: model on cpu: [\d.]+ MiB of [\d.]+ [GT]iB \(at most 8 faces, one a frame\)", lines[said[0]]), out)
p.check(re.fullmatch("  " + ", ".join(rf"{name} [\d.]+ [KM]iB" for name in PARTS + BESIDE), lines[said[0] + 1]), out)

# Too much: plan tells and refuses, run refuses before anything runs.
for command in ("plan", "run"):
    out, error = call(command, "--memory", "1M", status=3, cache="refused")
    p.check("MiB of " in out and "1.0 MiB allowed (at most 8 faces, one a frame): too much\n" in out, out)
    p.check(re.fullmatch(
        re.escape(f"{graph}:14:3: error: node 'model' (train_swap) takes ") +
        r"([\d.]+) MiB of memory, this run may take 1\.0 MiB: ([\d.]+) MiB too much\n"
        r" +14 \|   model:\n +\| +\^~+\n  try: lower batch or pass, .*\n", error), error)
    takes, over = map(float, re.findall(r"([\d.]+) MiB(?: of memory| too much)", error))
    p.check(abs(takes - 1 - over) < 0.11, error)
    out, error = call(command, *HUGE, "--json", status=3, cache="refused")
    events = p.events(out)
    refused = [e for e in events if e.get("event") == "refused"]
    p.check(len(refused) == 1 and refused[0]["error"]["line"] == 14 and refused[0]["error"]["hint"], events[-3:])
    p.check("this machine has" in refused[0]["error"]["text"], refused)
    p.check(not any(e.get("event") in ("start", "done") for e in events), "something ran")
p.check(not (scratch / "out").exists(), "something was written")
out, error = call("run", "-p", "size=72", status=1, cache="refused")
p.check("cannot train on crops of 72 px" in error and f"{graph}:14:3" in error and "starts" not in out, error)

# On a device: what it holds, and what the machine does beside it.
at = memory("--devices", "cuda:0", device=True)
p.check(set(at) == {("model", "cuda:0"), ("model", "cpu"), ("swap", "cuda:0")}, at)
p.check(list(at["model", "cuda:0"]["parts"]) == PARTS + ["faces"], at["model", "cuda:0"])
p.check(list(at["model", "cpu"]["parts"]) == BESIDE, at["model", "cpu"])
p.check(at["model", "cuda:0"]["total"] == 4 << 30, at["model", "cuda:0"])
half = memory("-p", "ranks=2", device=True)["model", "cuda:0"]
p.check(half["parts"]["weights"] == 2 * at["model", "cuda:0"]["parts"]["weights"], half)
p.check(memory("--devices", "cpu", device=True)["model", "cpu"]["parts"].keys() == model["parts"].keys(), "cpu")
out, error = call("run", "-p", "batch=64", "-p", "size=256", "-p", "dims=128", device=True, status=3, cache="refused")
p.check(re.search(r":14:3: error: node 'model' \(train_swap\) takes [\d.]+ GiB on cuda:0, which has 4\.0 GiB free: "
                  r"[\d.]+ GiB too much\n", error), error)


def loads_module(command, *words):
    _, error = call(command, *words, device=True, LD_DEBUG="files", cache="done")
    return "libunderstudy_cuda_emulated.so" in error


# A run says the same before it starts, and a plan with no training left asks no device.
p.check(loads_module("plan"), "auto looks for devices where there is a training")
p.check(not loads_module("plan", "--devices", "cpu"), "cpu loads the module")
events = p.events(call("run", "--json", cache="done")[0])
told = [e for e in events if e["event"] == "memory"]
p.check([e["node"] for e in told] == ["model", "swap"], events[:4])
p.check(told[0]["parts"].keys() == model["parts"].keys() and told[0]["note"] == model["note"], told[0])
p.check(events.index(told[1]) < min(i for i, e in enumerate(events) if e["event"] == "start"), events[:4])
p.check(memory(cache="done") == {}, "nothing is left to run")
p.check(not loads_module("plan"), "the module is loaded for a plan of nothing")
(scratch / "out/swap.1002.exr").unlink()
p.check(not loads_module("plan"), "the module is loaded without a training to run")
print(f"model on cpu {model['bytes']} bytes, on cuda:0 {at['model', 'cuda:0']['bytes']}")
