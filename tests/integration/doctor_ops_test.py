#!/usr/bin/env python3
"""doctor runs the self-test of every operation on the processor and on the emulated device.

usage: doctor_ops_test.py PROGRAM SCRATCH
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys

program, scratch = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
module = program.parent / "tests" / "libunderstudy_cuda_emulated.so"
shutil.rmtree(scratch, ignore_errors=True)
scratch.mkdir(parents=True)
subprocess.run([os.environ.get("CC", "cc"), "-shared", "-x", "c", "-", "-o", str(scratch / "libcuda.so.1")],
               input=b"int nothing;\n", check=True)
env = {name: value for name, value in os.environ.items() if not name.startswith(("UNDERSTUDY_", "XDG_", "LD_"))}
env.update(HOME=str(scratch), UNDERSTUDY_CACHE=str(scratch / "cache"))
failures = 0


def check(what, fine, shown=""):
    global failures
    if not fine:
        failures += 1
        print(f"failed: {what}\n{shown}")


def doctor(*words, **more):
    return subprocess.run([str(program), "doctor", *words], capture_output=True, text=True, env={**env, **more}).stdout


LINE = (r"ok   operations on {}: (\d+) of \1 right, largest errors \d\.\de-\d\d in f32, "
        r"(no bf16|\d\.\de-\d\d in bf16)\n")

plain = doctor("--verbose")
check("the processor passes", re.search(LINE.format("cpu"), plain), plain)
check("its peaks are measured", re.search(r"cpu peaks, \d+ threads: matrix products [1-9]\d* GFLOP/s in f32, .*; "
                                          r"memory \d+\.\d GB/s\n", plain), plain)
for name in ("convolution 3x3 with residual f32", "pixel norm f32", "losses f32", "adam, average f32", "augmentation f32"):
    check(f"--verbose has a line for {name}", re.search(rf"ok   {name} on cpu: error \d\.\de-\d\d, at most", plain), plain)
check("no device, no line about one", "cuda:0" not in plain, plain)
if module.exists():
    both = doctor(LD_LIBRARY_PATH=str(scratch), UNDERSTUDY_CUDA_MODULE=str(module))
    check("the device passes", re.search(LINE.format("cuda:0"), both), both)
    check("single operations are not listed", "pixel norm" not in both, both)
sys.exit(1 if failures else 0)
