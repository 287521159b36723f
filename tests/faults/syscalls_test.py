#!/usr/bin/env python3
"""Every system call that concerns a file of the cache or of the results fails once, by ENOSPC, EIO or EINTR, or the process is
killed there. It ends well with right results or says one error that names a file, and afterwards everything is whole: a plain
run ends with the results of an undisturbed one, and verify finds nothing. EACH faults of every operation; ALL=1 for all there
are. ONLY=publish limits it to one operation, WHAT=EIO to one fault, POINT=17 to one call."""
import concurrent.futures
import os
import pathlib
import queue
import re
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import pipeline as p
from faults import Case, check_clean, copy, number, verify

ALL, EACH, WORKERS = number("ALL", 0), number("EACH", 16), number("WORKERS", 2)
WHAT = os.environ.get("WHAT", "kill ENOSPC EIO EINTR").split()
INJECT = pathlib.Path(p.BINARY).parent / "tests/inject"
STUCK = 60
scratch = p.fresh_scratch()

TRAINING = """understudy: 1
params: {out: {type: path}, salt: {type: string, default: none}, frames: {type: frames}}
nodes:
  a: {type: synth_plate, frames: 1-2, identity: a, seed: 1, width: 96, height: 96}
  b: {type: synth_plate, frames: 1-2, identity: b, seed: 2, width: 96, height: 96}
  source: {type: face_crop, image: a, faces: a.landmarks, size: 64}
  destination: {type: face_crop, image: b, faces: b.landmarks, size: 64}
  model: {type: train_swap, source: source, destination: destination, batch: 1, steps: 4, ae_dims: 4, e_dims: 4, d_dims: 4,
          mask_dims: 4, checkpoint: {steps: 2}}
  out: {type: file_write, file: model.model, path: $(out)/model.safetensors}
outputs: [out]
"""


def can_trace():
    if not INJECT.exists():
        return f"the build has no {INJECT.name}"
    done = subprocess.run([INJECT, "/dev/null", "/nowhere/", "0", "list", "/bin/true"], capture_output=True, text=True)
    return f"processes cannot be traced here: {done.stderr.strip()}" if done.returncode == 99 else None


class Room:
    """A folder in which one operation at a time is disturbed."""

    def __init__(self, folder, graph):
        self.folder, self.graph = folder, graph
        self.cache, self.out = folder / "cache", folder / "out"

    def words(self):
        return ["-p", f"out={self.out}", "-p", "frames=1-1", "--threads", "1"]

    def run(self):
        return p.run(self.graph, *self.words(), cache=self.cache)

    def results(self):
        return {name: digest for name, digest in p.digests(self.out).items() if not name.endswith(".tmp")}

    def disturbed(self, words, point, what):
        """(exit status, what it said, the call that was hit)"""
        log = self.folder / "log"
        done = subprocess.run([INJECT, log, f"{self.folder}/", str(point), what, *p.command(*words)], capture_output=True,
                              env=p.environment(self.cache), text=True, timeout=STUCK, start_new_session=True)
        return done.returncode, done.stderr, log.read_text()


class Operation:
    """`base` is the state it begins with, a folder with cache/ and perhaps out/; `words` makes its command."""

    def __init__(self, name, graph, reference, words, base=None, statuses=(0,)):
        self.name, self.graph, self.reference, self.words = name, graph, reference, words
        self.base, self.statuses = base, statuses

    def reset(self, room):
        shutil.rmtree(room.folder, ignore_errors=True)
        room.folder.mkdir()
        if self.base:
            for part in self.base.iterdir():
                copy(part, room.folder / part.name)

    def room(self, n):
        return Room(scratch / f"{self.name}{n}", self.graph)

    def points(self):
        room = self.room(0)
        self.reset(room)
        status, said, log = room.disturbed(self.words(room), 0, "list")
        p.check(status in self.statuses, self.name, "undisturbed: exit", status, said)
        return log.splitlines()

    def trouble(self, n, point, what):
        """None, or what went wrong when the `point`-th call failed."""
        room = self.room(n)
        self.reset(room)
        try:
            status, said, hit = room.disturbed(self.words(room), point, what)
        except subprocess.TimeoutExpired:
            return f"stuck for {STUCK} s"
        where = f"{what} at {hit.strip()}: "
        try:
            if what != "kill" or not hit:
                self.judge(room, status, said)
            partial = [name for name, digest in room.results().items() if self.reference.get(name) != digest]
            p.check(not partial, "wrong or partial:", partial)
            if 1 in self.statuses:
                verify(room.cache)  # the damage it did not come to
            summary, _ = room.run()
            p.check(summary["failed"] == 0 and room.results() == self.reference, "other results afterwards")
            check_clean(room.cache)
        except (SystemExit, AssertionError) as error:
            return where + str(error)
        return None

    def judge(self, room, status, said):
        if status in self.statuses:
            if self.statuses == (0,) and self.words(room)[0] == "run":
                p.check(room.results() == self.reference, "exit 0 with other results", said)
            return
        p.check(0 < status < 128, "exit", status, said)
        error = re.split(r"(?:^|: )error: ", said, flags=re.MULTILINE)[-1]
        p.check(str(room.folder) in error, "the error names no file:", status, said)
        p.check(len(re.findall(r"(?:^|: )error: ", said, re.MULTILINE)) == 1, "more than one error:", said)


def operations():
    case = Case(scratch, frames=1)
    training = scratch / "training.yaml"
    training.write_text(TRAINING)

    def words(room):
        return ["run", room.graph, *room.words()]

    def made(graph, folder, *only):
        room = Room(scratch / folder, graph)
        room.folder.mkdir()
        p.run(graph, *room.words(), *only, cache=room.cache)
        return room.folder

    whole = made(case.graph, "whole-base")
    reference = {name: digest for name, digest in p.digests(whole / "out").items()}
    yield Operation("publish", case.graph, reference, words)
    no_index = scratch / "no-index"
    copy(whole, no_index)
    shutil.rmtree(no_index / "cache/index")
    # Inodes differ in every copy, so that each source is digested and remembered anew.
    yield Operation("index", case.graph, reference, words, no_index)
    damaged = scratch / "damaged"
    copy(whole, damaged)
    victims = [max((path for path in (damaged / "cache" / room).rglob("*") if path.is_file()), key=lambda path: path.stat().st_size,
                   default=None) for room in ("objects", "actions", "records")]
    for victim in filter(None, victims):
        content = bytearray(victim.read_bytes())
        content[len(content) // 2] ^= 16
        victim.chmod(0o640)
        victim.write_bytes(content)
    yield Operation("verify", case.graph, reference, lambda room: ["cache", "verify"], damaged, (0, 1))
    verbs = p.call("cache", "--help", cache=scratch / "none")[0]
    for verb in (["gc", "--max-size", "20K"], ["reindex"]):
        if verb[0] in verbs:
            yield Operation(verb[0], case.graph, reference, lambda room, verb=verb: ["cache", *verb], whole)
    crops = made(training, "crops", "--only", "source", "--only", "destination")
    trained = made(training, "trained")
    yield Operation("checkpoint", training, p.digests(trained / "out"), words, crops)


reason = can_trace()
if reason:
    print("skipped:", reason)
    sys.exit(0)

free = queue.SimpleQueue()
for n in range(WORKERS):
    free.put(n)


def attempt(operation, point, what):
    n = free.get()
    try:
        return operation.trouble(n, point, what)
    finally:
        free.put(n)


only = os.environ.get("ONLY", "").split()
chosen = [operation for operation in operations() if not only or operation.name in only]
failures = []
for operation in chosen:
    begun = time.monotonic()
    calls = operation.points()
    every = [(point, what) for point in range(1, len(calls) + 1) for what in WHAT]
    if os.environ.get("POINT"):
        every = [(int(os.environ["POINT"]), what) for what in WHAT]
    elif not ALL:
        # Spread evenly, the faults taking turns.
        some = min(EACH, len(every))
        every = [(1 + i * len(calls) // some, WHAT[i % len(WHAT)]) for i in range(some)]
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        found = [text for text in pool.map(lambda job: attempt(operation, *job), every) if text]
    failures += [f"{operation.name}: {text}" for text in found]
    names = sorted({call.split()[1] for call in calls})
    print(f"{operation.name}: {len(calls)} calls ({', '.join(names)}), {len(every)} of {len(calls) * len(WHAT)} faults tried, "
          f"{len(found)} failed; {time.monotonic() - begun:.0f} s", flush=True)
for failure in failures[:number("SHOW", 10)]:
    print(failure)
p.check(not failures, len(failures), "faults did harm")
