#!/usr/bin/env python3
"""Only what changed runs again, `plan` says so beforehand, and `run` does what `plan` said."""
import os
import pathlib
import re
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import pipeline as p

p.need_weights()
scratch = p.fresh_scratch()
cache = scratch / "cache"

# Footage on disk: written by the quickstart's generator, read back as EXR by the real graph.
plates = scratch / "plates"
p.run(p.ROOT / "tests/integration/plates.yaml", "-p", f"out={plates}", "-p", "frames=1001-1008", cache=cache)
graph = p.ROOT / "graphs/face_replace.yaml"
base = ["-p", f"actor={plates}/actor.####.exr", "-p", f"plate={plates}/double.####.exr", "-p", "frames=1001-1006",
        "-p", f"out={scratch}/out", "-p", "size=64", "-p", "steps=12", "-p", "dims=16"]


def planned_and_run(*words):
    summary, tasks = p.plan(graph, *base, *words, cache=cache)
    to_run = {key for key, line in tasks.items() if line["state"] == "run"}
    done, lines = p.run(graph, *base, *words, cache=cache)
    p.check(p.ran(lines) == to_run, "plan and run differ:", sorted(map(str, p.ran(lines) ^ to_run)))
    p.check(done["ran"] == summary["run"], "counts differ", done, summary)
    for line in lines:
        step = line["event"] == "progress" and re.match(r"step (\d+) of (\d+)", line.get("status", ""))
        p.check(not step or abs(int(step[1]) / int(step[2]) - line["fraction"]) < 1e-6, "step and fraction differ:", line)
    return to_run, tasks


everything, _ = planned_and_run()
p.check(len(everything) > 40, "a first run runs everything", len(everything))

begun = time.monotonic()
again, _ = p.run(graph, *base, cache=cache)
p.check(again["ran"] == 0, "a second run runs nothing", again)
print(f"no-op: {time.monotonic() - begun:.2f} s")

changed, tasks = planned_and_run("-p", "erode_px=3")
nodes = {node for node, _ in changed}
p.check("comp" in nodes and nodes <= {"comp", "out", "sheet", "quality", "quality_file", "comp_found", "comp_pose", "report"},
        "a composite parameter runs", nodes)
p.check("erode_px" in tasks[("comp", 1001)]["why"] and "3" in tasks[("comp", 1001)]["why"], tasks[("comp", 1001)]["why"])
back, _ = p.run(graph, *base, cache=cache)
p.check(back["ran"] <= 6 + 3, "back again: only the files are written anew", back)

frame = plates / "double.1004.exr"
shutil.copy2(frame, scratch / "same.exr")
os.utime(frame)
touched, _ = p.run(graph, *base, cache=cache)
p.check(touched["ran"] == 0, "a touched, equal frame runs nothing", touched)

shutil.copyfile(plates / "double.1008.exr", frame)
changed, tasks = planned_and_run()
nodes = {}
for node, number in changed:
    nodes.setdefault(node, set()).add(number)
p.check(nodes.get("plate.image") == {1004}, "one plate frame is read", nodes.get("plate.image"))
p.check(nodes.get("plate.found") == {1004}, "one plate frame is searched", nodes.get("plate.found"))
p.check(nodes.get("plate.crop", set()) <= {1002, 1003, 1004, 1005, 1006}, "its neighbours' crops at most", nodes.get("plate.crop"))
p.check("model" in nodes and len(nodes["comp"]) == 6, "the training and what follows", nodes)
p.check(not any(node.startswith("actor.") for node in nodes), "nothing of the actor", nodes)
p.check("1004.exr changed on disk" in tasks[("plate.image", 1004)]["why"], tasks[("plate.image", 1004)])

out, _ = p.call("explain", graph, "comp@1004", *base, cache=cache)
p.check("comp@1004 is cached" in out, out)
print("one changed frame:", {node: len(frames) for node, frames in sorted(nodes.items())})

shutil.copy2(scratch / "same.exr", frame)
restored, _ = p.run(graph, *base, cache=cache)
p.check(restored["ran"] <= 6 * 4, "a restored frame finds its old results", restored)
os.remove(scratch / "out" / "comp" / "comp.1003.exr")
one, lines = p.run(graph, *base, cache=cache)
p.check(p.ran(lines) == {("out", 1003)}, "a deleted output frame is written again", p.ran(lines))
