#!/usr/bin/env python3
"""kill -9 at 20 random moments of a run, resumed each time: the final frames, and the trained model, equal those of a
run that nobody disturbed."""
import os
import pathlib
import random
import shutil
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

whole = p.digests(scratch / "whole")
timing = {name for name in whole if name.endswith((".jsonl", ".html"))}  # metrics hold seconds
cache = scratch / "cache-killed"


def compare(kills):
    killed = p.digests(scratch / "killed")
    left = {name for name in killed if name.endswith(".tmp")}
    p.check(len(left) <= kills, "more temporary files than kills", left)
    p.check(set(whole) == set(killed) - left, "other files:", set(whole) ^ set(killed))
    different = [name for name in whole if whole[name] != killed[name] and name not in timing]
    p.check(not different, "files differ after", kills, "kills:", different)


generator = random.Random(20)
kills = 0
while kills < 20:
    # Each life is short enough that many are cut, long enough that work goes on between them.
    child = subprocess.Popen(p.command("run", graph, *settings("killed")), env=p.environment(cache),
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        child.wait(generator.uniform(0.02, seconds / 20))
        compare(kills)  # it came to its end early: from the start again until 20 kills are done
        shutil.rmtree(cache)
        shutil.rmtree(scratch / "killed")
    except subprocess.TimeoutExpired:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        kills += 1
p.run(graph, *settings("killed"), cache=cache)
compare(kills)
out, _ = p.call("cache", "verify", cache=cache)
print(f"{kills} kills, {len(whole)} files equal; {out.strip().splitlines()[-1]}")
