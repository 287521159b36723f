#!/usr/bin/env python3
"""The engine's own cost beside Ninja's, in one run: CPU seconds of whole processes with their children.

    tests/bench/scale.py UNDERSTUDY BENCH_SCALE FOLDER [--nodes 10000] [--frames 10000]

A layered DAG of trivial tasks (dag_graph.py) as build.ninja, without and with restat, and as two graphs: each node
written out as an `exec` of the same cp, and as ten nodes of so many frames, the way a graph is written. Nothing changed,
and one source edited. Own overhead: the CPU seconds less those of the commands that ran, each as dear as one run alone just before.
Then 100 nodes times FRAMES frame tasks inside one process (scale_bench.c): cold, nothing changed, one frame changed.
"""
import argparse
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import time

import dag_graph

HERE = pathlib.Path(__file__).resolve().parent


def measure(*command, cwd):
    """CPU seconds, wall seconds, peak MiB and stdout."""
    begun = time.monotonic()
    out = cwd / "stdout"
    with open(out, "wb") as sink:
        process = subprocess.Popen([str(word) for word in command], cwd=cwd, stdout=sink, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    text = out.read_text(encoding="utf-8", errors="replace")
    if process.returncode:
        sys.exit(f"{command[0]} ended with {process.returncode}: {text[-500:]}")
    return usage.ru_utime + usage.ru_stime, time.monotonic() - begun, usage.ru_maxrss / 1024, text


def cost_of(*command, cwd, times=30):
    """CPU seconds of one run of a command, its start included."""
    os.chdir(cwd)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(times):
        os.waitpid(os.posix_spawn(shutil.which(command[0]), command, os.environ,
                                  file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]), 0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / times


def write_ninja(folder, nodes, layers, restat):
    columns = nodes // layers
    copy = "cmp -s $first $out || cp $first $out" if restat else "cp $first $out"
    lines = [f"rule cp\n  command = {copy}\n" + ("  restat = 1\n" if restat else "")]
    for layer in range(layers):
        for column in range(columns):
            reads = [f"src/{column}"] if layer == 0 else [f"out/{layer - 1}_{column}", f"out/{layer - 1}_{(column + 1) % columns}"]
            lines.append(f"build out/{layer}_{column}: cp {' '.join(reads)}\n  first = {reads[0]}\n")
    (folder / "src").mkdir(parents=True)
    for column in range(columns):
        (folder / "src" / str(column)).write_text(f"frame {column}\n", encoding="utf-8")
    (folder / "build.ninja").write_text("".join(lines), encoding="utf-8")


def edit(folder, source, number):
    (folder / "src" / str(source)).write_text(f"edit {number}\n", encoding="utf-8")


class Ninja:
    def __init__(self, folder, nodes, layers, restat):
        self.folder, self.name = folder, "ninja, restat" if restat else "ninja"
        write_ninja(folder, nodes, layers, restat)
        self.command = ("sh", "-c", "cmp -s src/1 src/2 || cp src/1 copy" if restat else "cp src/1 copy")

    def edit(self, source, number):
        edit(self.folder, source, number)

    def run(self):
        cpu, wall, peak, text = measure("ninja", "-j2", cwd=self.folder)
        ran = 0
        for line in text.splitlines():
            if line.startswith("["):
                ran = max(ran, int(line[1:].split("/")[0]))
        return cpu, wall, peak, ran


class Understudy:
    def __init__(self, folder, nodes, layers, program, style):
        self.folder, self.program, self.style = folder, program, style
        self.name = "understudy, " + style
        subprocess.run([sys.executable, HERE / "dag_graph.py", folder, "--nodes", str(nodes), "--layers", str(layers),
                        "--style", style], check=True, stdout=subprocess.DEVNULL)
        self.command = ("cp", "src/1", "copy") if style == "nodes" else None

    def edit(self, source, number):
        if self.style == "nodes":
            edit(self.folder, source, number)
        else:
            (self.folder / "src" / f"{source:07d}.png").write_bytes(dag_graph.picture(30000 + number))

    def run(self):
        cpu, wall, peak, text = measure(self.program, "run", "graph.yaml", "--cache", "cache", "--threads", "2", cwd=self.folder)
        return cpu, wall, peak, int(text.split("ran ")[-1].split(",")[0])


def beside_ninja(arguments, folder):
    nodes, layers = arguments.nodes, 10
    runners = [Ninja(folder / "ninja", nodes, layers, False), Ninja(folder / "restat", nodes, layers, True),
               Understudy(folder / "written", nodes, layers, arguments.understudy, "nodes"),
               Understudy(folder / "frames", nodes, layers, arguments.understudy, "frames")]
    print(f"{nodes} nodes in {layers} layers")
    noop, edited = {}, {}
    for runner in runners:
        cpu, wall, peak, ran = runner.run()
        print(f"  {runner.name:18} cold    cpu {cpu:8.3f} s  wall {wall:8.2f} s  ran {ran}")
        runner.run()
        time.sleep(0.1)
    for runner in runners:
        runner.run()
    for turn in range(7):
        for runner in runners:
            noop.setdefault(runner.name, []).append(runner.run())
    for turn in range(15):
        for runner in runners:
            runner.edit(nodes // layers // 2 + turn, turn)
            time.sleep(0.05)
            cost = cost_of(*runner.command, cwd=runner.folder) if runner.command else 0
            edited.setdefault(runner.name, []).append((*runner.run(), cost))
            runner.run()
    for name, runs in noop.items():
        cpu = statistics.median(run[0] for run in runs)
        print(f"  {name:18} nothing changed: cpu {1e3 * cpu:7.1f} ms"
              f"  ({statistics.median(run[0] for run in noop['ninja']) / cpu:.1f} x ninja's speed)")
    overhead = {name: statistics.median(run[0] - run[3] * run[4] for run in runs) for name, runs in edited.items()}
    for name, runs in edited.items():
        print(f"  {name:18} one source edited: cpu {1e3 * statistics.median(run[0] for run in runs):7.1f} ms, "
              f"ran {statistics.median(run[3] for run in runs):.0f}, own overhead {1e3 * overhead[name]:6.1f} ms"
              f"  ({overhead['ninja, restat'] / overhead[name]:.1f} x the speed of ninja with restat)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("understudy", type=pathlib.Path)
    parser.add_argument("bench_scale", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--nodes", type=int, default=10000)
    parser.add_argument("--frames", type=int, default=10000)
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    arguments.understudy, arguments.bench_scale = arguments.understudy.resolve(), arguments.bench_scale.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    beside_ninja(arguments, folder)
    tasks = folder / "tasks"
    tasks.mkdir()
    print(f"100 nodes x {arguments.frames} frames in one process")
    sys.stdout.flush()
    subprocess.run([arguments.bench_scale, tasks, "100", str(arguments.frames), "cold", "noop", "stands", "stands", "plan", "edit",
                    "noop", "stands", "memory"], check=True)


if __name__ == "__main__":
    main()
