#!/usr/bin/env python3
"""16 processes at once on one cache and one graph of 200 tasks: 200 executions in total, all end well with equal results. A
killed holder's task goes on at once, a stopped one's after three missed beats. TRIES=200 for the long one, which alone stops one (or STOPPED=1)."""
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
from faults import check_clean, number, whole_lines

TRIES, SEED = number("TRIES", 3), number("SEED", 1)
PROCESSES, TASKS = 16, 200
DEADLOCK = 120  # seconds until a try counts as stuck
STALE = 15      # three beats, docs/cache.md
scratch = p.fresh_scratch()
generator = random.Random(SEED)


def graph_of(name, seconds):
    """Tasks beside each other and in chains of four; each tells in a file that it was executed."""
    lines = ["understudy: 1", "params: {log: {type: string}}", "nodes:"]
    ends = []
    for i in range(TASKS):
        above = f"inputs: [n{i - 1}], " if i % 4 else ""
        pause = f"sleep {seconds}; " if seconds else ""
        lines.append(f"  n{i}: {{type: exec, {above}command: [sh, -c, '{pause}echo {i} >> \"$1\"; echo {i} > \"$2\"', -, $(log), "
                     f"'{{out}}']}}")
        if i % 4 == 3:
            lines.append(f"  w{i}: {{type: file_write, file: n{i}, path: $(log).out/{i}.txt}}")
            ends.append(f"w{i}")
    path = scratch / f"{name}.yaml"
    path.write_text("\n".join([*lines, f"outputs: [{', '.join(ends)}]", ""]))
    return path


def start(graph, cache, log, output, *more):
    return subprocess.Popen(p.command("run", graph, "--json", "-p", f"log={log}", *more), env=p.environment(cache),
                            stdout=open(output, "wb"), stderr=subprocess.PIPE, start_new_session=True)


def finish(child, *context):
    try:
        _, text = child.communicate(timeout=DEADLOCK)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGABRT)
        raise SystemExit(f"FAILED: stuck after {DEADLOCK} s {context}")
    p.check(child.returncode == 0, "exit", child.returncode, text.decode()[-2000:], *context)


def together(graph, number):
    """One try; returns its seconds."""
    cache, log = scratch / "cache", scratch / "log"
    for path in (cache, scratch / "log.out"):
        shutil.rmtree(path, ignore_errors=True)
    log.unlink(missing_ok=True)
    outputs = [scratch / f"events{i}.json" for i in range(PROCESSES)]
    begun = time.monotonic()
    children = [start(graph, cache, log, output, "--threads", generator.choice([1, 2, 4])) for output in outputs]
    for child in children:
        finish(child, graph.name, "try", number)
    seconds = time.monotonic() - begun
    executed = log.read_text().split()
    twice = {task for task in executed if executed.count(task) > 1}
    p.check(len(executed) == TASKS and not twice, len(executed), "executions, twice:", twice, graph.name, "try", number)
    done = [task for output in outputs for task in p.ran(whole_lines(output))]
    again = {node for node, _ in done if done.count((node, None)) > 1}
    p.check(len(done) == TASKS + TASKS // 4 and not again, len(done), "tasks done, twice:", again, graph.name, "try", number)
    for output in outputs:
        last = whole_lines(output)[-1]
        p.check(last["event"] == "summary" and last["failed"] == 0, last)
    for i in range(3, TASKS, 4):
        p.check((scratch / f"log.out/{i}.txt").read_text() == f"{i}\n", "wrong result of", i)
    if number % 10 == 0:
        check_clean(cache)
    return seconds


def taken_over(how):
    """Seconds from the moment the holder of a task was stopped by `how` until another process had made its result."""
    cache, log = scratch / "cache-over", scratch / "log-over"
    shutil.rmtree(cache, ignore_errors=True)
    log.unlink(missing_ok=True)
    graph = scratch / "over.yaml"
    graph.write_text("understudy: 1\nparams: {log: {type: string}}\nnodes:\n  long: {type: exec, command: [sh, -c, "
                     "'echo began >> \"$1\"; sleep 1; echo made > \"$2\"', -, $(log), '{out}']}\noutputs: [long]\n")
    holder = start(graph, cache, log, scratch / "holder.json")
    while not log.exists() or log.stat().st_size == 0:
        p.check(holder.poll() is None, "the holder ended")
        time.sleep(0.005)
    waiters = [start(graph, cache, log, scratch / f"waiter{i}.json") for i in range(3)]
    time.sleep(0.3)
    p.check(log.read_text() == "began\n", "it did not wait for the holder:", log.read_text())
    os.kill(holder.pid, how)
    begun = time.monotonic()
    for child in waiters:
        finish(child, "taken over from", how)
    seconds = time.monotonic() - begun
    p.check(log.read_text() == "began\n" * 2, "executions:", log.read_text())
    if how == signal.SIGSTOP:
        os.kill(holder.pid, signal.SIGCONT)
        finish(holder, "the holder that was stopped")
    else:
        holder.communicate()
    check_clean(cache)
    return seconds


tries = {0: [], 0.03: []}
for number_of in range(TRIES):
    pause = 0.03 if number_of % 4 == 1 else 0
    tries[pause].append(together(graph_of(f"tasks{pause}", pause), number_of))
for pause, seconds in tries.items():
    if seconds:
        print(f"{len(seconds)} tries, {PROCESSES} processes x {TASKS} tasks that sleep {pause} s: {TASKS} executions each; "
              f"{sum(seconds) / len(seconds):.2f} s a try, longest {max(seconds):.2f} s")
seconds = taken_over(signal.SIGKILL)
p.check(seconds < STALE, "a killed holder's task was taken over only after", seconds)
print(f"a killed holder's task of 1 s was done {seconds:.1f} s later")
if number("STOPPED", TRIES > 20):
    seconds = taken_over(signal.SIGSTOP)
    p.check(seconds < STALE + 10, "a stopped holder's task was taken over only after", seconds)
    print(f"a stopped holder's task of 1 s was done {seconds:.1f} s later")
