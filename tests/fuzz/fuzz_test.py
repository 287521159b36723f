#!/usr/bin/env python3
"""Builds the libFuzzer targets with clang, AddressSanitizer and UndefinedBehaviorSanitizer, and runs them.

usage: fuzz_test.py PROGRAM SCRATCH

$FUZZ_SECONDS is how long each of the main targets runs (60), the others run for a quarter of that; $FUZZ_TARGETS
names some of them. A crash prints the input that leads to it, which stays in SCRATCH.
"""
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRATCH = pathlib.Path(sys.argv[2]).absolute()
BUILD = ROOT / "build/fuzz"
MAIN = ["graph", "record", "pack", "frames", "index"]
OTHERS = ["exr", "weights", "faces", "onnx"]
SECONDS = int(os.environ.get("FUZZ_SECONDS", "60"))


def build(targets):
    if not shutil.which("clang-14"):
        print("skipped: no clang-14")
        sys.exit(0)
    cache = BUILD / "CMakeCache.txt"
    if cache.exists() and "clang-14" not in cache.read_text():
        shutil.rmtree(BUILD)  # of another compiler: CMake would lose the preset's settings
    launcher = ["-DCMAKE_C_COMPILER_LAUNCHER=ccache", "-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
    for words in (["cmake", "--preset", "fuzz", *launcher],
                  ["cmake", "--build", "--preset", "fuzz", "--target", *(f"fuzz_{target}" for target in targets)]):
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(words)}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


def fuzz(target):
    """Runs one target; returns what went wrong, or None."""
    folder = SCRATCH / target
    corpus, seeds = folder / "corpus", ROOT / "tests/fuzz/corpus" / target
    corpus.mkdir(parents=True)
    seconds = SECONDS if target in MAIN else max(1, SECONDS // 4)
    words = [str(BUILD / f"tests/fuzz_{target}"), f"-max_total_time={seconds}", "-timeout=60", "-rss_limit_mb=3000",
             "-print_final_stats=1", f"-artifact_prefix={folder}/", str(corpus)]
    words += [str(seeds)] if seeds.is_dir() else []
    dictionary = ROOT / f"tests/fuzz/{target}.dict"
    words += [f"-dict={dictionary}"] if dictionary.exists() else []
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, errors="replace",
                          env={**os.environ, "FUZZ_SEEDS": str(corpus)})
    if done.returncode:
        inputs = [path for path in folder.iterdir() if path.is_file()]
        return f"fuzz_{target}: exit {done.returncode}; run {words[0]} {' '.join(map(str, inputs))}\n{done.stderr[-6000:]}"
    runs = re.search(r"number_of_executed_units: *(\d+)", done.stderr)
    covered = re.findall(r" cov: (\d+)", done.stderr)
    if not runs or int(runs[1]) < 100 or not covered:
        return f"fuzz_{target}: it did not run\n{done.stderr[-2000:]}"
    print(f"fuzz_{target}: {runs[1]} runs in {seconds} s, {covered[-1]} edges", flush=True)
    return None


def main():
    targets = os.environ.get("FUZZ_TARGETS", "").split() or MAIN + OTHERS
    shutil.rmtree(SCRATCH, ignore_errors=True)
    begun = time.monotonic()
    build(targets)
    print(f"built in {time.monotonic() - begun:.0f} s", flush=True)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        failed = [trouble for trouble in pool.map(fuzz, targets) if trouble]
    if failed:
        raise SystemExit("\n".join(["FAILED", *failed]))


main()
