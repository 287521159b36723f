#!/usr/bin/env python3
"""A bundle runs where nothing of ours is installed: unpacked anywhere, in an empty environment, with its own libraries.

usage: bundle_test.py PROGRAM SCRATCH
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tarfile

PROGRAM, SCRATCH = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
BUILD = os.path.dirname(PROGRAM)
# What every host has: glibc and what the kernel gives.
HOST = re.compile(r"(linux-vdso|ld-linux[^/]*|lib(c|m|dl|rt|pthread|resolv))\.so[.0-9]*$")
failures = 0

GRAPH = """understudy: 1
nodes:
  plate: {type: synth_plate, frames: 1-2, width: 48, height: 32, samples: 1}
  out: {type: exr_write, image: plate.image, path: out.####.exr}
"""


def check(what, right, shown=""):
    global failures
    if not right:
        failures += 1
        print(f"FAILED: {what}\n{shown}")


def run(*words, cwd, **env):
    """In an empty environment but for `env`."""
    return subprocess.run(words, capture_output=True, text=True, cwd=cwd, env=env, timeout=120)


def make():
    out = os.path.join(SCRATCH, "bundle.tar.gz")
    made = subprocess.run(["tools/bundle", "--build", BUILD, out], capture_output=True, text=True)
    check("tools/bundle makes a tarball", made.returncode == 0, made.stdout + made.stderr)
    check("and says the oldest glibc", re.search(r"needs glibc 2\.\d+ or newer$", made.stdout.strip()),
          made.stdout)
    place = os.path.join(SCRATCH, "a place with spaces")
    os.makedirs(place)
    with tarfile.open(out) as archive:
        for member in archive.getmembers():
            check(f"{member.name} stays inside and is nobody's",
                  not member.name.startswith(("/", "..")) and member.uid == 0 and member.mtime == 0)
        archive.extractall(place, filter="data")
    return glob.glob(os.path.join(place, "understudy-*"))[0]


def test_its_own_libraries(top, home):
    listed = run(os.path.join(top, "bin", "understudy"), cwd=home, LD_TRACE_LOADED_OBJECTS="1").stdout
    paths = re.findall(r"=> (.*?) \(0x", listed)
    check("libraries are listed", len(paths) > 10, listed)
    for path in paths:
        own = os.path.realpath(path).startswith(os.path.realpath(top) + "/lib/")
        check(f"{path} is the bundle's", own or HOST.search(path), listed)
    strings = open(os.path.join(top, "bin", "understudy"), "rb").read()
    check("the program knows no folder of this machine", BUILD.encode() not in strings)


def test_it_runs(top, home):
    with open(os.path.join(home, "tiny graph.yaml"), "w") as file:
        file.write(GRAPH)
    program = os.path.join(top, "understudy")
    done = run(program, "run", "tiny graph.yaml", "--cache", "cache", cwd=home)
    check("a graph runs", done.returncode == 0 and "ran 4" in done.stdout, done.stdout + done.stderr)
    check("its frames are there", sorted(glob.glob("out.*", root_dir=home)) ==
          ["out.0001.exr", "out.0002.exr"])
    os.symlink(program, os.path.join(home, "linked"))
    doctor = run(os.path.join(home, "linked"), "doctor", "--cache", "cache", cwd=home)
    check("doctor's own run passes", "ok   self-test: a graph ran in" in doctor.stdout, doctor.stdout)
    if os.path.isdir("models"):
        models = os.path.join(os.path.realpath(top), "models")
        check("its weights are the bundle's", f"weights: 3 files in '{models}', hashes right" in doctor.stdout and
              doctor.returncode == 0, doctor.stdout)
    absent = run(program, "run", "tiny graph.yaml", "--devices", "cuda:63", "--cache", "cache", cwd=home)
    check("statuses come through", absent.returncode == 3, absent.stderr)


def test_cuda_libraries_are_found(top, home):
    module = os.path.join(BUILD, "libunderstudy_cuda.so")
    if not os.path.exists(module):
        print("skipped: this build has no CUDA module")
        return
    linked = subprocess.run(["ldd", module], capture_output=True, text=True).stdout
    found = dict(re.findall(r"(libcudnn\.so\.9|libnccl\.so\.2) => (\S+)", linked))
    check("the build's cuDNN and NCCL are known", len(found) == 2, linked)
    check("they are not in the bundle", not glob.glob(os.path.join(glob.escape(top), "lib", "libcudnn*")))
    listed, packages = os.path.join(home, "cuda libs"), os.path.join(home, "venv/lib/python3.99/site-packages/nvidia")
    for folder, names in ((listed, found), (os.path.join(packages, "cudnn/lib"), ["libcudnn.so.9"]),
                          (os.path.join(packages, "nccl/lib"), ["libnccl.so.2"])):
        os.makedirs(folder)
        for name in names:
            pattern = "libcudnn*.so.9" if "cudnn" in name else name
            for path in glob.glob(os.path.join(os.path.dirname(found[name]), pattern)):
                os.symlink(path, os.path.join(folder, os.path.basename(path)))
    program = os.path.join(top, "bin", "understudy")
    done = run(program, "doctor", "--cache", "cache", cwd=home, UNDERSTUDY_CUDA_LIBS="/nowhere:" + listed,
               LD_DEBUG="files")
    check("the module loads", "ok   cuda module: CUDA" in done.stdout, done.stdout)
    for name in found:
        check(f"{name} comes from $UNDERSTUDY_CUDA_LIBS", f"file={listed}/{name}" in done.stderr and
              f"calling init: {found[name]}" not in done.stderr)
    # A copy of the module that looks nowhere by itself finds the Python packages.
    copy = os.path.join(home, "module.so")
    data = open(os.path.join(top, "lib", "libunderstudy_cuda.so"), "rb").read()
    with open(copy, "wb") as file:
        file.write(data.replace(b"libcudnn.so.9\0", b"libcudnn.so.X\0"))
    broken = run(program, "doctor", "--cache", "cache", cwd=home, UNDERSTUDY_CUDA_MODULE=copy,
                 VIRTUAL_ENV=os.path.join(home, "venv"), LD_DEBUG="files")
    check("what is missing is named", "cuda module: none, cannot load the CUDA module: libcudnn.so.X" in
          broken.stdout, broken.stdout)
    for name, folder in (("libcudnn.so.9", "cudnn"), ("libnccl.so.2", "nccl")):
        check(f"{name} is looked for in Python's packages", f"file={packages}/{folder}/lib/{name}" in broken.stderr)


def main():
    shutil.rmtree(SCRATCH, ignore_errors=True)
    home = os.path.join(SCRATCH, "home folder")
    os.makedirs(home)
    top = make()
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test(top, home)
    print("failed" if failures else "passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
