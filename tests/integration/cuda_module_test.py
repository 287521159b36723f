#!/usr/bin/env python3
"""The CUDA module is opened only when it is wanted, and what is wrong with it is said in one line.

usage: cuda_module_test.py PROGRAM SCRATCH

Modules that are damaged, of another build, or for devices that exist nowhere are compiled here.
"""
import os
import re
import shutil
import subprocess
import sys

PROGRAM, SCRATCH = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
ROOT = os.getcwd()
ENV = {name: value for name, value in os.environ.items()
       if not name.startswith(("UNDERSTUDY_", "XDG_", "LD_"))}
ENV.update(UNDERSTUDY_CACHE=os.path.join(SCRATCH, "cache"), HOME=SCRATCH, LC_ALL="C.UTF-8")
failures = 0

GRAPH = """understudy: 1
nodes:
  plate: {type: synth_plate, frames: 1-2, width: 32, height: 24, samples: 1}
  out: {type: exr_write, image: plate.image, path: out.####.exr}
"""

MODULE = """
#include <stdio.h>
#include <string.h>
#include "kernels/cuda/build_number.h"
#include "kernels/cuda/module.h"
#ifndef BUILD
#define BUILD US_CUDA_BUILD
#endif
us_cuda_module_function us_cuda_module;
static void versions(struct us_cuda_versions *v) {
    *v = (struct us_cuda_versions){13010, 13020, 92103, 22809};
}
static int count(const char **why_not) {
    *why_not = DEVICES ? "" : "the toy driver finds no device";
    return DEVICES;
}
static enum us_nn_status device(int ordinal, struct us_cuda_device *d) {
    *d = (struct us_cuda_device){.major = 9, .multiprocessors = 7, .memory = 3ull << 30,
                                 .memory_free = 1ull << 30};
    snprintf(d->name, sizeof d->name, "Toy %d", ordinal);
    strcpy(d->bus, "0000:00:00.0");
    return US_NN_OK;
}
static int self_test(int ordinal, us_cuda_report *report, void *context) {
    report(context, "adding", NULL);
    report(context, "multiplying", ordinal ? "2 x 2 is 5" : NULL);
    return ordinal;
}
static enum us_nn_status peaks(int ordinal, struct us_cuda_peaks *p) {
    *p = (struct us_cuda_peaks){790e12, 51.5e12, 4100e9, 55.5e9, 52.5e9};
    return ordinal ? US_NN_FAILED : US_NN_OK;
}
const struct us_cuda_module *us_cuda_module(void) {
    static const struct us_cuda_module module = {ABI, sizeof module, BUILD, versions, count, device,
                                                 self_test, peaks};
    return &module;
}
"""


def check(what, right, shown=""):
    global failures
    if not right:
        failures += 1
        print(f"FAILED: {what}\n{shown}")


def understudy(*arguments, **env):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, cwd=SCRATCH,
                          env={**ENV, **env}, timeout=120)


def compile_library(name, source, *options):
    path = os.path.join(SCRATCH, name)
    with open(path + ".c", "w") as file:
        file.write(source)
    subprocess.run(["cc", "-shared", "-fPIC", "-I", ROOT, "-I",
                    os.path.join(os.path.dirname(PROGRAM), "generated"), *options, "-o", path, path + ".c"],
                   check=True)
    return path


def test_nothing_of_nvidia_is_linked():
    linked = subprocess.run(["readelf", "-d", PROGRAM], capture_output=True, text=True).stdout
    check("readelf reads the program", "liblmdb" in linked, linked)
    check("the program links nothing of NVIDIA's",
          not re.search(r"libcud|libnccl|libnv|understudy_cuda", linked), linked)


def test_not_opened_without_need():
    for words in (["version"], ["plan", "g.yaml"], ["run", "g.yaml"],
                  ["run", "g.yaml", "--devices", "auto"], ["run", "g.yaml", "--devices", "cpu"]):
        done = understudy(*words, LD_DEBUG="files")
        check(f"{words} runs", done.returncode == 0, done.stderr[-2000:])
        check(f"{words} traces what is opened", "liblmdb" in done.stderr)
        check(f"{words} opens nothing of CUDA",
              not re.search(r"libcuda\.so|libcudnn|libnccl|understudy_cuda", done.stderr))


def test_devices_by_name():
    for text, wanted in (("gpu", "--devices names 'gpu', allowed auto, cpu, cuda:N, cpu:N"),
                         ("cuda:", "--devices names 'cuda:', allowed auto, cpu, cuda:N, cpu:N"),
                         ("cuda:1x", "--devices names 'cuda:1x', allowed auto, cpu, cuda:N, cpu:N"),
                         ("", "--devices names '', allowed auto, cpu, cuda:N, cpu:N"),
                         ("cuda:63", "there is no device 'cuda:63'"),
                         ("cpu,cuda:0", "--devices names 'cpu', allowed auto, cpu, cuda:N, cpu:N")):
        done = understudy("run", "g.yaml", "--devices", text)
        status = 3 if wanted.startswith("there is no") else 2
        check(f"--devices '{text}' ends with {status}", done.returncode == status, done.stderr)
        check(f"--devices '{text}' says why", f"error: {wanted}" in done.stderr, done.stderr)


def module_line(path):
    done = understudy("doctor", UNDERSTUDY_CUDA_MODULE=path)
    lines = [line for line in done.stdout.splitlines() if "cuda module" in line]
    check(f"doctor has one line about {path}", len(lines) == 1, done.stdout)
    return lines[0] if lines else ""


def test_what_is_wrong_with_a_module():
    text = os.path.join(SCRATCH, "text.so")
    with open(text, "w") as file:
        file.write("this is no library\n")
    cases = [(os.path.join(SCRATCH, "no.so"), "the CUDA module '.*no.so' is not there"),
             (text, "cannot load the CUDA module: .*text.so"),
             (compile_library("empty.so", "int nothing;"), "'.*empty.so' is not a CUDA module"),
             (compile_library("needs.so", "extern int nowhere(void); int here(void);"
                              "int here(void) { return nowhere(); }"),
              "cannot load the CUDA module: .*nowhere"),
             (compile_library("old.so", MODULE, "-DABI=US_CUDA_ABI+1", "-DDEVICES=1"),
              r"'.*old.so' is of another build \(2\.\d+\.0{16}, this program's is 1\.\d+\.[0-9a-f]{16}\)"),
             (compile_library("near.so", MODULE, "-DABI=US_CUDA_ABI", "-DDEVICES=1", "-DBUILD=7"),
              r"'.*near.so' is of another build \(1\.\d+\.0{15}7, this program's is 1\.\d+\.[0-9a-f]{16}\)")]
    for path, wanted in cases:
        line = module_line(path)
        check(f"{path} is refused", re.fullmatch(f"     cuda module: none, {wanted}.*", line), line)


def test_devices_of_a_toy_module():
    driver = os.path.join(SCRATCH, "driver")
    os.makedirs(driver, exist_ok=True)
    compile_library("driver/libcuda.so.1", "int nothing;")
    env = {"LD_LIBRARY_PATH": driver, "UNDERSTUDY_CUDA_MODULE":
           compile_library("two.so", MODULE, "-DABI=US_CUDA_ABI", "-DDEVICES=2")}
    listed = understudy("devices", **env).stdout
    check("devices lists both", "cuda:0  Toy 0, 3.0 GiB (1.0 free), compute capability 9.0, "
          "7 multiprocessors, 0000:00:00.0\ncuda:1  Toy 1," in listed, listed)
    check("as JSON too", understudy("devices", "--json", **env).stdout.count('"model":"Toy') == 2)
    doctor = understudy("doctor", **env)
    for line in ("ok   cuda module: CUDA 13.1, cuDNN 9.21.3, NCCL 2.28.9; driver: for CUDA 13.2\n",
                 "ok   cuda:0: Toy 0, 3.0 GiB (1.0 free), compute capability 9.0; self-test: 2 passed, 0 failed\n",
                 "     cuda:0 peaks: matrix products 790 TFLOP/s in bf16, 51.5 in f32; memory 4100 GB/s, to the "
                 "device 55.5, from it 52.5\nBAD  cuda:1",
                 "BAD  cuda:1 self-test, multiplying: 2 x 2 is 5\nBAD  cuda:1: Toy 1, 3.0 GiB (1.0 free), "
                 "compute capability 9.0; self-test: 1 passed, 1 failed\n"):
        check(f"doctor prints {line}", line in doctor.stdout, doctor.stdout)
    check("doctor ends with 3", doctor.returncode == 3)
    check("a device that is there", understudy("run", "g.yaml", "--devices", "cuda:1",
                                               **env).returncode == 0)
    for text, status, wanted in (("cuda:0,cuda:2", 3, "no device 'cuda:2', allowed cuda:0 to cuda:1"),
                                 ("cuda:1,cuda:1", 2, "names 'cuda:1' twice")):
        done = understudy("run", "g.yaml", "--devices", text, **env)
        check(text, done.returncode == status and wanted in done.stderr, done.stderr)
    env["UNDERSTUDY_CUDA_MODULE"] = compile_library("none.so", MODULE, "-DABI=US_CUDA_ABI",
                                                    "-DDEVICES=0")
    listed = understudy("devices", **env).stdout
    check("no device", "cuda  none: the toy driver finds no device\n" in listed, listed)
    done = understudy("run", "g.yaml", "--devices", "cuda:0", **env)
    check("none to name", done.returncode == 3 and
          "there is no device 'cuda:0': the toy driver finds no device" in done.stderr, done.stderr)


def test_the_module_of_this_build():
    path = os.path.join(os.path.dirname(PROGRAM), "libunderstudy_cuda.so")
    if not os.path.exists(path):
        print("skipped: this build has no CUDA module")
        return
    exported = subprocess.run(["nm", "-D", "--defined-only", path], capture_output=True, text=True)
    names = [line.split()[-1] for line in exported.stdout.splitlines()]
    check("one symbol is exported", names == ["us_cuda_module"], exported.stdout)
    line = module_line(path)
    check("its versions are read without a device", re.fullmatch(
        r"ok   cuda module: CUDA \d+\.\d, cuDNN 9\.\d+\.\d+, NCCL 2\.\d+\.\d+; driver: .*", line), line)


def main():
    shutil.rmtree(SCRATCH, ignore_errors=True)
    os.makedirs(SCRATCH)
    with open(os.path.join(SCRATCH, "g.yaml"), "w") as file:
        file.write(GRAPH)
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
    print("failed" if failures else "passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
