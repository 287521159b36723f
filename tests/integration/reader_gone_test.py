#!/usr/bin/env python3
"""A reader of the output that goes away (`run --json | head -3`) while a training runs: the run ends quietly with status
141, the training keeps its state, and going on ends with the model of a run that nobody disturbed."""
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import pipeline as p

p.need_weights()
scratch = p.fresh_scratch()
graph = scratch / "shot.yaml"
graph.write_text("""understudy: 1
params: {out: {type: path}, steps: {type: int}}
nodes:
  plate: {type: synth_plate, frames: 1001-1004, identity: b, other: a, seed: 2, width: 256, height: 192}
  found: {type: face_detect, image: plate.image}
  pose:  {type: face_align, image: plate.image, faces: found}
  crop:  {type: face_crop, image: plate.image, faces: pose, size: 64}
  other: {type: face_crop, image: plate.other, faces: pose, size: 64}
  model: {type: train_swap, source: other, destination: crop, steps: $(steps), e_dims: 8, d_dims: 8, ae_dims: 16, batch: 2}
  saved: {type: file_write, file: model, path: $(out)/model.safetensors}
outputs: [saved]
""")


def words(name, steps):
    return ["run", graph, "--json", "-p", f"out={scratch / name}", "-p", f"steps={steps}"]


child = subprocess.Popen(p.command(*words("left", 100000)), env=p.environment(scratch / "cache-left"),
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
for line in child.stdout:
    told = re.search(r'"status":"step (\d+) of', line)
    if told and int(told[1]) >= 20:
        break
child.stdout.close()
p.check((child.wait(timeout=60), child.stderr.read()) == (141, ""), "it ends with", child.returncode)
states = [path.name for path in (scratch / "cache-left").rglob("step-*.safetensors")]
p.check(len(states) == 1, "the training's state is not saved:", states)
step = int(states[0][5:15])
p.check(step >= 20, states)

_, events = p.run(graph, *words("left", step + 5)[3:], cache=scratch / "cache-left")
first = next(e["fraction"] for e in events if e["event"] == "progress" and e["node"] == "model" and e.get("fraction", 0) > 0)
p.check(first >= step / (step + 5) - 1e-6, "it began again from the start:", first)
p.run(graph, *words("whole", step + 5)[3:], cache=scratch / "cache-whole")
p.check(p.digests(scratch / "left") == p.digests(scratch / "whole"), "the model is another")
print(f"left at step {step}, gone on to the same model")
