#!/usr/bin/env python3
"""Bits flipped in objects, records and the index. `cache verify` finds every one, reports it once and heals; a run that meets
one makes anew what was lost and never gives a wrong result. FLIPS=10000 for the long one."""
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import pipeline as p
from faults import Case, check_clean, copy, number, verify

FLIPS, SEED = number("FLIPS", 200), number("SEED", 1)
ROOMS = ("objects", "actions", "records")
scratch = p.fresh_scratch()
case = Case(scratch)
generator = random.Random(SEED)
masters, cache = [scratch / "master-few", scratch / "master-many"], scratch / "cache"


def run(*more):
    shutil.rmtree(scratch / "out", ignore_errors=True)
    summary, lines = p.run(*case.words("out", *more), cache=cache)
    case.check_outputs("out", True)
    return summary, [line["text"] for line in lines if line["event"] == "warning"]


def make_master(folder, parts):
    """Written by several runs, so that what they publish lies in files of their own; by many, and the cache packs those."""
    for frame in range(1, case.frames + 1):
        for nodes in parts:
            p.call("run", *case.words("out", "--frames", frame, *nodes), cache=cache)
    run()
    for leftover in ("leases", "tmp"):
        p.check(not list((cache / leftover).glob("*")), "left behind in", leftover)
    check_clean(cache)
    cache.rename(folder)


def files(*rooms):
    return [path for room in rooms for path in sorted((cache / room).rglob("*")) if path.is_file() and path.stat().st_size]


def flip(path):
    """One bit of a file, as a bad disk would: the file's times stay."""
    info = path.stat()
    content = bytearray(path.read_bytes())
    bit = generator.randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    os.chmod(path, 0o640)
    path.write_bytes(content)
    os.chmod(path, info.st_mode & 0o7777)
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    return f"{path.relative_to(cache)} bit {bit}"


def flip_some(most):
    """One bit each in some files, of which as many hold records as hold objects where there are enough of both."""
    kinds = [files("objects"), files("actions", "records")]
    for kind in kinds:
        generator.shuffle(kind)
    chosen = [path for pair in zip(*kinds) for path in pair]
    chosen += [path for kind in kinds for path in kind if path not in chosen]
    return [flip(path) for path in chosen[:most]]


def check_reports(flipped, reports):
    p.check(len(reports) == len(flipped) and len(set(reports)) == len(reports), len(flipped), "flips,", len(reports), "reports\n ",
            "\n  ".join([*flipped, *reports]))


def verified(most):
    """Damage, verify, verify again, run; returns how many bits were flipped."""
    flipped = flip_some(most)
    counted, reports = verify(cache)
    p.check(counted["damaged"] == len(flipped), "found", counted, "\n ", "\n  ".join([*flipped, *reports]))
    check_reports(flipped, reports)
    check_clean(cache, "after healing", flipped)
    summary, late = run()
    p.check(not late, "reported again:", late, flipped)
    p.check(run()[0]["ran"] <= case.writers, "not healed", flipped)
    return len(flipped)


def not_verified(most):
    """Damage, then a run that has to read nearly everything; verify reports the rest."""
    flipped = flip_some(most)
    _, met = run("-p", f"salt={generator.random()}")
    _, rest = verify(cache)
    check_reports(flipped, met + rest)
    check_clean(cache, "after healing", flipped)
    return len(flipped)


def index_flipped():
    """A bit of the index: nothing in it is a result, so none is lost and none is wrong. LMDB trusts its own pages, so it may end
    the process over some bits; then the folder is removed, as docs/cache.md says."""
    flipped = [flip(cache / "index/data.mdb")]
    shutil.rmtree(scratch / "out", ignore_errors=True)
    ended = subprocess.run(p.command("run", *case.words("out")), env=p.environment(cache), capture_output=True, text=True)
    if ended.returncode < 0:
        fatal.append(flipped[0])
        shutil.rmtree(cache / "index")
    else:
        p.check(ended.returncode == 0 and not ended.stderr, ended.returncode, ended.stderr, flipped)
        case.check_outputs("out", True)
    summary, reports = run()
    p.check(summary["ran"] == case.writers and not reports, "lost with the index", summary, reports, flipped)
    p.check(p.run(*case.words("out"), cache=cache)[0]["ran"] == 0, "lost with the index", flipped)
    check_clean(cache, flipped)
    return len(flipped)


make_master(masters[0], [["--only", "out", "--only", "zipped"]])
make_master(masters[1], [["--only", node] for node in ("red", "both", "wide", "zipped")])
copy(masters[0], cache)
case.writers = run()[0]["ran"]  # what runs when only the outputs are gone
begun = time.monotonic()
fatal = []
for name, damage, wanted in (("found by verify", verified, FLIPS // 2), ("met by a run", not_verified, FLIPS // 2)):
    flips, rounds = 0, 0
    while flips < wanted:
        copy(masters[rounds % 2], cache)
        flips += damage(min(50, wanted - flips))
        rounds += 1
    print(f"seed {SEED}: {flips} bits flipped, {name}, in {rounds} rounds: each reported once, healed, 0 wrong results")
for flips in range(1, max(20, FLIPS // 20) + 1):
    copy(masters[flips % 2], cache)
    index_flipped()
print(f"{flips} bits flipped in the index: nothing lost, 0 wrong results; {len(fatal)} ended LMDB; {time.monotonic() - begun:.0f} s")
