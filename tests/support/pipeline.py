"""What the tests that drive the real program share: running it, reading its events, comparing files."""
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

BINARY = os.path.abspath(sys.argv[1])
SCRATCH = pathlib.Path(sys.argv[2]).absolute()
ROOT = pathlib.Path(__file__).resolve().parents[2]


def fresh_scratch():
    shutil.rmtree(SCRATCH, ignore_errors=True)
    SCRATCH.mkdir(parents=True)
    return SCRATCH


def environment(cache):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("UNDERSTUDY_")}
    clean["UNDERSTUDY_CACHE"] = str(cache)
    clean["UNDERSTUDY_MODELS"] = os.environ.get("UNDERSTUDY_MODELS", str(ROOT / "models"))
    return clean


def command(*words):
    return [BINARY, *map(str, words)]


def call(*words, cache, status=0, cwd=None):
    """Runs the program to its end; returns (stdout, stderr); the exit status must be `status`."""
    done = subprocess.run(command(*words), env=environment(cache), cwd=cwd, capture_output=True, text=True)
    if status is not None and done.returncode != status:
        raise SystemExit(f"{' '.join(map(str, words))}: exit {done.returncode}, wanted {status}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout, done.stderr


def events(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def run(graph, *words, cache, status=0):
    """`run --json`; returns (summary, events)."""
    out, _ = call("run", graph, "--json", *words, cache=cache, status=status)
    lines = events(out)
    assert lines and lines[-1]["event"] == "summary", out[-2000:]
    return lines[-1], lines


def plan(graph, *words, cache):
    """`plan --json`; returns (summary, {(node, frame): line}) of the tasks."""
    out, _ = call("plan", graph, "--json", *words, cache=cache)
    lines = events(out)
    assert lines and lines[-1]["event"] == "summary", out[-2000:]
    return lines[-1], {(l["node"], l["frame"]): l for l in lines if "event" not in l}


def ran(lines):
    """The (node, frame) of every task that a run's events say ran."""
    return {(l["node"], l.get("frame")) for l in lines if l["event"] == "done"}


def cached(lines):
    """How many tasks a run's events say were found in the cache."""
    return sum(l.get("count", 1) for l in lines if l["event"] == "cached")


def digests(folder):
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(pathlib.Path(folder).rglob("*")) if p.is_file()}


def emulated_device(folder):
    """The environment in which the program finds the emulated module; `folder` gets a driver for it."""
    module = pathlib.Path(BINARY).parent / "tests/libunderstudy_cuda_emulated.so"
    check(module.exists(), "the build has no emulated module")
    subprocess.run(["cc", "-shared", "-x", "c", "-o", pathlib.Path(folder) / "libcuda.so.1", "/dev/null"], check=True)
    return {"LD_LIBRARY_PATH": str(folder), "UNDERSTUDY_CUDA_MODULE": str(module)}


def need_weights():
    if not list(pathlib.Path(environment("x")["UNDERSTUDY_MODELS"]).glob("*.tflite")):
        raise SystemExit("no model weights: run tools/fetch_weights")


def check(condition, *message):
    if not condition:
        raise SystemExit("FAILED: " + " ".join(map(str, message)))
