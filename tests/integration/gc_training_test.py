#!/usr/bin/env python3
"""Whatever a gc took, model, frames or records: the next run makes anew what it needs, at once, and what it makes is what
was there before. A gc keeps records of what took long, so what is left of them differs from size to size."""
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import pipeline as p

p.need_weights()
scratch = p.fresh_scratch()
cache = scratch / "cache"
graph = scratch / "shot.yaml"
graph.write_text("""understudy: 1
templates:
  faces:
    params: {path: {type: path}}
    nodes:
      image: {type: exr_read, path: $(path), frames: all}
      found: {type: face_detect, image: image}
      pose:  {type: face_align, image: image, faces: found}
      track: {type: face_track, faces: pose}
      crop:  {type: face_crop, image: image, faces: track, size: 64}
nodes:
  actor: {use: faces, path: plates/actor.####.exr}
  plate: {use: faces, path: plates/double.####.exr}
  model: {type: train_swap, source: actor.crop, destination: plate.crop, steps: 4, e_dims: 16, d_dims: 16, batch: 2}
  swap:  {type: infer_swap, model: model, faces: plate.crop}
  comp:  {type: composite, plate: plate.image, faces: plate.crop, swap: swap}
  out:   {type: exr_write, image: comp, path: comp/o.####.exr}
outputs: [out]
""")
p.run(p.ROOT / "tests/integration/plates.yaml", "-p", f"out={scratch}/plates", "-p", "frames=1001-1006", cache=scratch / "other")
p.run(graph, cache=cache)
wanted = p.digests(scratch / "comp")
for i, size in enumerate((9000, 7000, 11000, 8000, 12000)):
    p.call("cache", "gc", "--max-size", size, cache=cache)
    shutil.rmtree(scratch / "comp")
    frame = 1001 + i % 6
    summary, lines = p.run(graph, "--frames", frame, cache=cache)
    p.check(summary["failed"] == 0, size, [e for e in lines if e["event"] == "failed"])
    made = p.digests(scratch / "comp")
    p.check(made == {f"o.{frame}.exr": wanted[f"o.{frame}.exr"]}, "another frame", size, made)
    print(f"gc to {size} bytes: {summary['ran']} tasks made anew")
