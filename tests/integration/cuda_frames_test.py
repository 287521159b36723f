#!/usr/bin/env python3
"""The demo's frames on a device (emulated). Detection, landmarks, crops and composites are the processor's byte for
byte; faces that a model draws, whose sums run in another order, differ by less than -100 dB."""
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import pipeline as p

p.need_weights()
scratch = p.fresh_scratch()
DEVICE = p.emulated_device(scratch)

people = """understudy: 1
params:
  out: {type: path}
nodes:
  plate: {type: synth_plate, frames: 1001-1002, identity: b, other: a, seed: 2, width: 256, height: 192}
  found: {type: face_detect, image: plate.image}
  pose:  {type: face_align, image: plate.image, faces: found}
  crop:  {type: face_crop, image: plate.image, faces: pose, size: 64}
  other: {type: face_crop, image: plate.other, faces: pose, size: 64}
"""
graphs = {
    "train": people + """  model: {type: train_swap, source: other, destination: crop, steps: 3, e_dims: 8, d_dims: 8, ae_dims: 16, batch: 2}
  swap:  {type: infer_swap, model: model, faces: crop}
  crops: {type: exr_write, image: swap, path: $(out)/swap.####.exr}
  saved: {type: file_write, file: model, path: $(out)/model.safetensors}
outputs: [crops, saved]
""",
    "frames": people + """  comp:  {type: composite, plate: plate.image, faces: crop, swap: other, mask: product, aovs: all, erode_px: -2}
  crops: {type: exr_write, image: crop, path: $(out)/crop.####.exr}
  comps: {type: exr_write, image: comp, path: $(out)/comp.####.exr}
outputs: [crops, comps]
""",
    "swaps": people + f"""  model: {{type: model_read, path: {scratch}/train-here/model.safetensors}}
  swap:  {{type: infer_swap, model: model, faces: crop}}
  comp:  {{type: composite, plate: plate.image, faces: crop, swap: swap, mask: product}}
  crops: {{type: exr_write, image: swap, path: $(out)/swap.####.exr}}
  comps: {{type: exr_write, image: comp, path: $(out)/comp.####.exr}}
outputs: [crops, comps]
""",
    "judge": f"""understudy: 1
params:
  out: {{type: path}}
nodes:
  here:  {{type: exr_read, path: {scratch}/swaps-here/comp.####.exr, frames: 1001-1002}}
  there: {{type: exr_read, path: {scratch}/swaps-there/comp.####.exr, frames: 1001-1002}}
  told:  {{type: compare, image: there, reference: here}}
  file:  {{type: file_write, file: told, path: $(out)/told.jsonl}}
outputs: [file]
""",
}
for name, text in graphs.items():
    (scratch / f"{name}.yaml").write_text(text)


def run(name, where):
    there = where == "there"
    done = subprocess.run(p.command("run", scratch / f"{name}.yaml", "--json", "-p", f"out={scratch / name}-{where}",
                                    "--devices", "cuda:0" if there else "cpu"), cwd=scratch, capture_output=True, text=True,
                          env={**p.environment(scratch / f"cache-{where}"), **(DEVICE if there else {})})
    p.check(done.returncode == 0, name, where, done.stdout[-2000:], done.stderr[-2000:])
    events = p.events(done.stdout)
    used = any(e["event"] == "devices" and e.get("devices") == "cuda:0" for e in events)
    p.check(used == there, "devices:", events[:3])
    p.check(not any(e["event"] == "warning" for e in events), "the device was done without:", events)
    return p.digests(f"{scratch / name}-{where}")


here, there = run("frames", "here"), run("frames", "there")
p.check(len(here) == 4, "files are missing:", here)
p.check(set(here) == set(there), "other files:", set(here) ^ set(there))
different = [name for name in here if here[name] != there[name]]
p.check(not different, "files differ:", different)
p.check(here["comp.1001.exr"] != here["comp.1002.exr"], "both frames are one")

run("train", "here")
here, there = run("swaps", "here"), run("swaps", "there")
p.check(set(here) == set(there) and len(here) == 4, "files of the swaps:", here, there)
run("judge", "here")
told = p.events((scratch / "judge-here/told.jsonl").read_text())[-1]
p.check(told["frames"] == 2 and told["worst_psnr"] > 100, "drawn faces differ:", told)
