#!/usr/bin/env python3
"""Parts of the CPU as devices: two chains compute at the same time, each on its own, and come to the bits that they come to without."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import pipeline as p

scratch = p.fresh_scratch()
graph = p.ROOT / "tests/integration/devices.yaml"

def run(name, *words):
    out = scratch / name
    done, lines = p.run(graph, "-p", f"out={out}", *words, cache=scratch / f"{name}-cache")
    return done, [line for line in lines if line["event"] in ("start", "done")], p.digests(out)

def spans(lines):
    """(device, first line, last line) of each task, lines being the run's clock."""
    open_at, found = {}, {}
    for at, line in enumerate(lines):
        task = line["node"], line.get("frame")
        if line["event"] == "start":
            open_at[task] = at
        else:
            found[task] = line.get("device"), open_at[task], at
    return found

done, lines, digests = run("parts", "--devices", "cpu:0,cpu:1=1G", "--threads", "2")
p.check(done["failed"] == 0, done)
tasks = spans(lines)
p.check({device for device, _, _ in tasks.values()} == {None, "cpu:0", "cpu:1"}, "both parts are used, and none by readers")
one, two = tasks["one.model", None], tasks["two.model", None]
p.check(one[0] != two[0], "each training has a part of the CPU", one, two)
p.check(one[1] < two[2] and two[1] < one[2], "they train at the same time", one, two)
p.check({line["worker"] for line in lines} == {0, 1}, "two workers")
held = {}
for line in lines:
    if "device" in line:
        task = line["node"], line.get("frame")
        if line["event"] == "done":
            held[line["device"]].discard(task)
        else:
            held.setdefault(line["device"], set()).add(task)
        nodes = {node for node, _ in held[line["device"]]}
        p.check(len(nodes) < 2 or nodes == {"one.swap"} or nodes == {"two.swap"}, "a device has one task, or a batch of one node", held)

plain, lines, expected = run("plain", "--devices", "cpu", "--threads", "1")
p.check(all("device" not in line for line in lines), "`cpu` alone is no device")
p.check(len(expected) == 12 and digests == expected, "the same files with and without devices")

for text, wanted in (("cpu:0,cpu:0", "--devices names 'cpu:0' twice"), ("cpu:x", "--devices names 'cpu:x', allowed auto, cpu, cuda:N, cpu:N"),
                     ("cuda:x", "--devices names 'cuda:x', allowed"), ("gpu0", "--devices names 'gpu0', allowed"), ("", "--devices names '', allowed"),
                     ("cuda:77,gpu0", "--devices names 'gpu0', allowed"),
                     ("cpu:0=much", "--devices gives 'cpu:0' the memory 'much', wanted a size such as 8G")):
    for command in "run", "plan":
        _, err = p.call(command, graph, "--devices", text, cache=scratch / "none", status=2)
        p.check(wanted in err, text, err)
_, err = p.call("run", graph, "--devices", "cuda:77", cache=scratch / "none", status=3)
p.check("there is no device 'cuda:77'" in err, err)
