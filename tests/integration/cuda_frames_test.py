#!/usr/bin/env python3
"""Detection, landmarks, crops and composites of the demo shot on a device (emulated) are, byte for byte, those of the
processor: frames, and crops with their landmarks."""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import pipeline as p

p.need_weights()
scratch = p.fresh_scratch()
build = pathlib.Path(p.BINARY).parent
module = next(iter(build.glob("tests/libunderstudy_cuda_emulated.so")), None)
p.check(module, "the build has no emulated module")
subprocess.run(["cc", "-shared", "-x", "c", "-o", scratch / "libcuda.so.1", "/dev/null"], check=True)

graph = scratch / "frames.yaml"
graph.write_text("""understudy: 1
params:
  out: {type: path}
nodes:
  plate: {type: synth_plate, frames: 1001-1002, identity: b, other: a, seed: 2, width: 256, height: 192}
  found: {type: face_detect, image: plate.image}
  pose:  {type: face_align, image: plate.image, faces: found}
  crop:  {type: face_crop, image: plate.image, faces: pose, size: 96}
  other: {type: face_crop, image: plate.other, faces: pose, size: 96}
  comp:  {type: composite, plate: plate.image, faces: crop, swap: other, mask: product, aovs: all, erode_px: -2}
  crops: {type: exr_write, image: crop, path: $(out)/crop.####.exr}
  comps: {type: exr_write, image: comp, path: $(out)/comp.####.exr}
outputs: [crops, comps]
""")


def run(name, *words, **env):
    done = subprocess.run(p.command("run", graph, "--json", "-p", f"out={scratch / name}", *words), cwd=scratch,
                          env={**p.environment(scratch / f"cache-{name}"), **env}, capture_output=True, text=True)
    p.check(done.returncode == 0, name, done.stdout[-2000:], done.stderr[-2000:])
    return p.events(done.stdout)


run("here", "--devices", "cpu")
events = run("there", "--devices", "cuda:0", LD_LIBRARY_PATH=str(scratch), UNDERSTUDY_CUDA_MODULE=str(module))
p.check(any(e["event"] == "devices" and e.get("devices") for e in events), "no device was used:", events[:3])
p.check(not any(e["event"] == "warning" for e in events), "the device was done without:", events)
here, there = p.digests(scratch / "here"), p.digests(scratch / "there")
p.check(len(here) == 4, "files are missing:", here)
p.check(set(here) == set(there), "other files:", set(here) ^ set(there))
different = [name for name in here if here[name] != there[name]]
p.check(not different, "files differ:", different)
plain = p.digests(scratch / "here")["comp.1001.exr"] != p.digests(scratch / "here")["comp.1002.exr"]
p.check(plain, "both frames are one")
