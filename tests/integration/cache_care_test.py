#!/usr/bin/env python3
"""gc to a size, pins, verify and reindex through the command line: what is removed is made again when it is needed and
only then, what is pinned stays, and every flipped bit is found once and healed."""
import pathlib
import random
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import pipeline as p

scratch = p.fresh_scratch()
cache = scratch / "cache"
FRAMES = 8
GRAPH = f"""
understudy: 1
show: care
params:
  out: {{type: path, default: out}}
  erode: {{type: float, default: 2}}
nodes:
  plate: {{type: synth_plate, cache: keep, identity: a, seed: 1, frames: 1001-{1000 + FRAMES}, width: 64, height: 48}}
  edit: {{type: matte_edit, cache: keep, matte: plate.image, channel: R, erode_px: $(erode)}}
  soft: {{type: matte_edit, cache: keep, matte: edit, channel: G, feather_px: 3}}
  out: {{type: exr_write, image: soft, path: $(out)/m.####.exr}}
outputs: [out]
"""
graph = scratch / "g.yaml"
graph.write_text(GRAPH)
out = ["-p", f"out={scratch / 'out'}"]


def care(*words, status=0):
    text, _ = p.call("cache", *words, "--json", cache=cache, status=status)
    return p.events(text)


def objects():
    return [f for f in (cache / "objects").rglob("*") if f.is_file() and len(f.name) == 32]


def size():
    return sum(f.stat().st_size for room in ("objects", "records") for f in (cache / room).rglob("*") if f.is_file())


first, _ = p.run(graph, *out, cache=cache)
p.check(first["ran"] == 4 * FRAMES, "all run", first)
wanted = p.digests(scratch / "out")

# Statistics by show and node type, from the records.
stats = care("stats")[0]
types = {t["type"]: t for t in stats["types"]}
p.check(types["synth_plate"]["show"] == "care" and types["synth_plate"]["objects"] == 4 * FRAMES, "by type", types)
p.check(types["synth_plate"]["seconds"] > types["soft" if "soft" in types else "matte_edit"]["seconds"] >= 0, "seconds", types)

# A pin on the outputs holds what they are written from; a pin on a node, its results.
pin = care("pin", graph, *out)[-1]
p.check(pin["name"] == "g" and pin["objects"] == FRAMES and pin["missing"] == 0, "a writer stands for its input", pin)
pin = care("pin", graph, "plate", "--frames", "1001-1002", "--name", "plates")[-1]
p.check(pin["objects"] == 8, "two frames of four outputs", pin)
p.check([line["name"] for line in care("pins")] == ["g", "plates"], "pins are listed")
_, error = p.call("cache", "pin", graph, "plat", cache=cache, status=2)
p.check("did you mean 'plate'" in error, error)
loose = scratch / "loose.yaml"  # nothing of it is kept
loose.write_text("understudy: 1\nnodes:\n  plate: {type: synth_plate, cache: drop, frames: 1-2, width: 64, height: 48}\n"
                 f"  out: {{type: exr_write, image: plate, path: {scratch}/loose.####.exr}}\noutputs: [out]\n")
p.run(loose, cache=cache)
_, error = p.call("cache", "pin", loose, cache=cache, status=3)
p.check("has no results to pin" in error and "made from files alone" in error, error)
care("unpin", "plates")
_, error = p.call("cache", "unpin", "plates", cache=cache, status=3)
p.check("no pin 'plates'" in error, error)

# A dry run says what a gc does; a gc keeps to its size and frees what is cheap for its bytes.
before = size()
limit = int(before * 0.6)
said = care("gc", "--max-size", limit, "--dry-run")[-1]
p.check(size() == before, "a dry run removes nothing")
done = care("gc", "--max-size", limit)[-1]
for member in ("before", "after", "objects", "records", "types"):
    p.check(said[member] == done[member], "dry run and run differ in", member, said[member], done[member])
p.check(done["met"] and 0.85 * limit <= size() <= 1.05 * limit, "the size is kept", size(), limit, done)
p.check({t["type"] for t in done["types"]} <= {"synth_plate", "matte_edit"}, done)
p.check(done["pinned"]["files"] == FRAMES, "pinned", done)

# Nothing that stands needs what is gone.
again, _ = p.run(graph, *out, cache=cache)
p.check(again["ran"] == 0, "outputs still stand", again)
# To the bottom: only pinned results and the records stay. The output written anew needs nothing else.
done = care("gc", "--max-size", 1, "--records-keep", "1d")[-1]
p.check(not done["met"] and len(objects()) == FRAMES, "only what is pinned", len(objects()), done)
shutil.rmtree(scratch / "out")
again, lines = p.run(graph, *out, cache=cache)
p.check(p.ran(lines) == {("out", 1001 + i) for i in range(FRAMES)}, "pinned results serve", sorted(map(str, p.ran(lines))))
p.check(p.digests(scratch / "out") == wanted, "equal files")
care("unpin", "g")
done = care("gc", "--max-size", 1, "--records-keep", "1s")[-1]
p.check(not objects(), "nothing holds them now", done)
for member in ("files", "bytes"):
    p.check(sum(t[member] for t in done["types"]) == done["objects"][member], "rows and sum differ in", member, done)
shutil.rmtree(scratch / "out")
p.run(graph, *out, cache=cache)
p.check(p.digests(scratch / "out") == wanted, "made again, equal")

# Flipped bits in objects and records: found, reported once, healed.
p.run(graph, *out, "-p", "erode=1", cache=cache)
p.run(graph, *out, cache=cache)
wanted = p.digests(scratch / "out")
generator = random.Random(1)
victims = objects()
flips = 0
hurt = set()
for file in victims:
    data = bytearray(file.read_bytes())
    for _ in range(4):
        at = generator.randrange(len(data))
        data[at] ^= 1 << generator.randrange(8)
        flips += 1
    file.chmod(0o640)
    file.write_bytes(data)
    hurt.add(file.name)
packs = [f for f in (cache / "records").iterdir() if f.is_file() and f.stat().st_size > 1000]
p.check(packs, "records lie in files", list((cache / "records").iterdir()))
for file in packs:
    data = bytearray(file.read_bytes())
    for _ in range(20):
        data[generator.randrange(64, len(data))] ^= 1 << generator.randrange(8)
        flips += 1
    file.chmod(0o640)
    file.write_bytes(data)
p.check(flips >= 200, "enough flips", flips)
lines = care("verify", status=1)
warnings = [line["text"] for line in lines if line["event"] == "warning"]
summary = lines[-1]
p.check(summary["damaged"] == len(warnings) > len(hurt), "each reported once", summary, len(warnings), len(hurt))
for name in hurt:
    told = [text for text in warnings if name in text.split(" is damaged")[0]]
    p.check(len(told) == 1, name, "told", told)
p.check(summary["modes"] == len(hurt), "writable objects are told", summary)
lines = care("verify")
p.check(lines[-1]["damaged"] == 0 and len(lines) == 1, "healed", lines)
shutil.rmtree(scratch / "out")
_, lines = p.run(graph, *out, cache=cache)
p.check(not [line for line in lines if line["event"] == "warning"], "nothing is told twice", lines)
p.check(p.digests(scratch / "out") == wanted, "the same files come out of a healed cache")

# Indexes lost: found again.
shutil.rmtree(cache / "index", ignore_errors=True)
counts = care("reindex")[-1]
p.check(counts["records"] > 0, counts)
again, _ = p.run(graph, *out, cache=cache)
p.check(again["ran"] == 0, "after reindex", again)
p.check(care("verify", "--sample", "50%")[-1]["damaged"] == 0, "a sample")
for words, part in ((("gcc",), "did you mean 'gc'"), (("gc", "--keep", "3y"), "wanted a time"),
                    (("stats", "--keep", "3d"), "takes no --keep"), (("verify", "--sample", "0"), "above 0%")):
    _, error = p.call("cache", *words, cache=cache, status=2)
    p.check(part in error, words, error)
print(f"{flips} flips, {len(warnings)} damaged files and entries reported once")
