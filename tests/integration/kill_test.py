#!/usr/bin/env python3
"""kill -9 at 20 random moments of a run, resumed each time: the final frames, and the trained model, equal those of a
run that nobody disturbed."""
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import pipeline as p

p.need_weights()
scratch = p.fresh_scratch()
graph = p.ROOT / "graphs/quickstart.yaml"
small = ["-p", "frames=1001-1006", "-p", "take=1001-1008", "-p", "steps=60", "-p", "checkpoint_steps=10",
         "-p", "dims=16", "-p", "width=256", "-p", "height=192"]


def settings(name):
    return [*small, "-p", f"out={scratch / name}"]


begun = time.monotonic()
p.run(graph, *settings("whole"), cache=scratch / "cache-whole")
seconds = time.monotonic() - begun

generator = random.Random(20)
kills = 0
cache = scratch / "cache-killed"
while kills < 20:
    # Each life is short enough that 20 of them are cut, long enough that work goes on between them.
    life = generator.uniform(0.02, seconds / 10)
    child = subprocess.Popen(p.command("run", graph, *settings("killed")), env=p.environment(cache),
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        child.wait(life)
        break  # it came to its end before we could kill it 20 times: the work was done
    except subprocess.TimeoutExpired:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        kills += 1
p.run(graph, *settings("killed"), cache=cache)
p.check(kills >= 10, "only", kills, "kills before the run was done")

whole, killed = p.digests(scratch / "whole"), p.digests(scratch / "killed")
timing = {name for name in whole if name.endswith((".jsonl", ".html"))}  # metrics hold seconds
p.check(set(whole) == set(killed), "other files:", set(whole) ^ set(killed))
different = [name for name in whole if whole[name] != killed[name] and name not in timing]
p.check(not different, "files differ after", kills, "kills:", different)
left = [str(f) for f in (scratch / "killed").rglob("*.tmp")]
p.check(len(left) <= kills, "more temporary files than kills", left)
out, _ = p.call("cache", "verify", cache=cache)
print(f"{kills} kills, {len(whole)} files equal; {out.strip().splitlines()[-1]}")
