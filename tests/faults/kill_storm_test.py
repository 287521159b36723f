#!/usr/bin/env python3
"""kill -9 at random moments of small runs, resumed each time: what was published is right, is not made again, and the final
files are those of a run that nobody disturbed. KILLS=1000 for the long one."""
import os
import pathlib
import random
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import pipeline as p
from faults import Case, check_clean, number, whole_lines
import shutil

KILLS, SEED = number("KILLS", 24), number("SEED", 1)
scratch = p.fresh_scratch()
case = Case(scratch)
generator = random.Random(SEED)
cache = scratch / "cache"


def lines_in(path):
    return path.read_bytes().count(b"\n")


def wait_for_moment(child, output):
    """Returns at a random moment of the child's life: by the clock, or as it says something."""
    kind = generator.random()
    if kind < 0.15:
        pause = generator.uniform(0, 0.01)
    elif kind < 0.5:
        pause = generator.uniform(0, 1.1 * case.seconds)
    else:
        pause = generator.uniform(0, 0.004)
        # The last lines are more likely: the end is where the records' and the index' files are closed.
        line = generator.choice([generator.randrange(case.events), case.events - generator.randrange(6)])
        while child.poll() is None and lines_in(output) < line:
            time.sleep(0.0005)
    begun = time.monotonic()
    while child.poll() is None and time.monotonic() - begun < pause:
        time.sleep(0.0005)


def kill(child):
    """True: it lived to be killed."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
    child.stderr.close()
    return child.wait() == -signal.SIGKILL


def done(output):
    return p.ran(whole_lines(output))


def one_process(life):
    """A run killed once or more often, then let go to its end; returns the kills."""
    made, kills, left = set(), 0, 0
    for _ in range(generator.choice([1, 1, 2, 3])):
        output = scratch / "killed.json"
        child = case.start("killed", cache, output, "--threads", "2")
        wait_for_moment(child, output)
        kills += kill(child)
        again = done(output) & made
        p.check(not again, "made again after a kill:", again, "life", life)
        made |= done(output)
        left = max(left, case.check_outputs("killed", False, "life", life))
        if kills % 10 == 1 or KILLS < 100:
            check_clean(cache, "after a kill, life", life)
    summary, lines = p.run(*case.words("killed"), cache=cache)
    p.check(not p.ran(lines) & made, "made again:", p.ran(lines) & made, "life", life)
    p.check(summary["failed"] == 0 and left <= 4 * kills, summary, left)
    case.check_outputs("killed", True, "life", life)
    return kills


def many_processes(life):
    """Some on one cache, of which one is killed: the others do its work, and nothing is made twice by those that live."""
    outputs = [scratch / f"writer{n}.json" for n in range(generator.randint(2, 8))]
    children = [case.start("killed", cache, output, "--threads", "1") for output in outputs]
    wait_for_moment(children[0], outputs[0])
    kills = kill(children[0])
    made = []
    for child, output in zip(children[1:], outputs[1:]):
        text = child.stderr.read()
        child.stderr.close()
        p.check(child.wait(120) == 0, "exit", child.returncode, text, "life", life)
        made += done(output)
    made += done(outputs[0])
    p.check(len(made) == len(set(made)), "made twice:", {task for task in made if made.count(task) > 1}, "life", life)
    summary, _ = p.run(*case.words("killed"), cache=cache)
    p.check(summary["ran"] == 0, "made again:", summary, "life", life)
    case.check_outputs("killed", True, "life", life)
    check_clean(cache, "life", life)
    return kills


kills, lives, together = 0, 0, 0
begun = time.monotonic()
while kills < KILLS:
    for folder in (cache, scratch / "killed"):
        shutil.rmtree(folder, ignore_errors=True)
    several = generator.random() < 0.2
    kills += many_processes(lives) if several else one_process(lives)
    together += several
    lives += 1
print(f"seed {SEED}: {kills} kills in {lives} lives of {case.tasks} tasks ({together} with 2-8 processes), 0 wrong, "
      f"0 made again; {time.monotonic() - begun:.0f} s")
