#!/usr/bin/env python3
"""Does it notice? On a tree of 50 commands (10 layers of 5) each case must give the right files and run exactly what had to
run. Node L_I copies what (L-1)_I made and looks at (L-1)_(I+1) too; its result does not depend on that second one."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import pipeline as p

LAYERS, WIDTH = 10, 5
scratch = p.fresh_scratch()
cache, graph, source = scratch / "cache", scratch / "tree.yaml", scratch / "src"
source.mkdir()
table = []


def name(layer, column):
    return f"n{layer}_{column % WIDTH}"


def write_graph(swapped=(), env=None):
    env = env or {}
    lines = ["understudy: 1", "nodes:"]
    for layer in range(1, LAYERS + 1):
        for i in range(WIDTH):
            node, script = name(layer, i), 'cat "$0" > "$1"; echo ' + name(layer, i) + ' >> "$1"'
            above = [name(layer - 1, i), name(layer - 1, i + 1)]
            above = above[::-1] if node in swapped else above
            took = "{in0}/0000.bin" if layer > 1 else "{read0}"
            lines.append(f"  {node}:\n    type: exec\n    command: [sh, -c, '{script}', '{took}', '{{out}}']")
            lines.append(f"    inputs: [{above[0]}, {above[1]}]" if layer > 1 else f"    reads: [src/{i}, src/{(i + 1) % WIDTH}]")
            if node in env:
                lines.append(f"    env: [{env[node]}]")
    lines += [f"  out{i}: {{type: file_write, file: {name(LAYERS, i)}, path: out/{i}}}" for i in range(WIDTH)]
    graph.write_text("\n".join(lines) + "\n" + f"outputs: [{', '.join(f'out{i}' for i in range(WIDTH))}]\n")


def content(layer, column, swapped=()):
    if layer == 0:
        return (source / str(column % WIDTH)).read_text()
    other = column + 1 if name(layer, column) in swapped else column
    return content(layer - 1, other, swapped) + name(layer, column) + "\n"


def cone(layer, column):
    """What runs when the result of layer_column changes, itself included: below it two columns, of which one makes the same."""
    below = {name(l, c) for l in range(layer + 1, LAYERS + 1) for c in (column, column + WIDTH - 1)}
    return below | {name(layer, column), f"out{column}"} if layer else below | {f"out{column}"}


def run(case, wanted, swapped=(), environ=None):
    kept = dict(os.environ)
    os.environ.update(environ or {})
    before, tasks = p.plan(graph, cache=cache)
    planned = {node for (node, _), line in tasks.items() if line["state"] == "run"}
    sure = {node for (node, _), line in tasks.items() if line["state"] == "run" and not line.get("maybe")}
    summary, lines = p.run(graph, cache=cache)
    os.environ.clear()
    os.environ.update(kept)
    done = {node for node, _ in p.ran(lines)}
    stale = [i for i in range(WIDTH) if (scratch / f"out/{i}").read_text() != content(LAYERS, i, swapped)]
    right = not stale and done == wanted and summary["ran"] == len(wanted) and sure <= done <= planned
    table.append((case, summary["ran"], len(wanted), "right" if right else "WRONG"))
    p.check(right, case, "stale:", stale, "ran:", sorted(done ^ wanted), "more or less than wanted; plan:", sorted(sure - done), sorted(done - planned))


def write(column, text, same_time=False, older=False):
    """Written in place, so that device and inode stay."""
    path = source / str(column)
    old = path.stat() if path.exists() else None
    path.write_text(f"{text}\n" * 600)
    if same_time or older:
        shift = 2 * 86400 * 10**9 if older else 0
        os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns - shift))


def stored(text):
    """The object that holds these bytes."""
    found = [f for f in (cache / "objects").rglob("*") if f.is_file() and f.read_bytes() == text.encode()]
    p.check(len(found) == 1, "objects of one content:", found)
    return found[0]


for i in range(WIDTH):
    write(i, f"frame {i}")
everything = {name(l, i) for l in range(1, LAYERS + 1) for i in range(WIDTH)} | {f"out{i}" for i in range(WIDTH)}
write_graph()
run("first run", everything)
run("nothing changed", set())
os.utime(source / "0")
run("source touched, same bytes", set())
write(0, "older 0", older=True)
run("new bytes, older time", cone(0, 0))
write(0, "again 0", same_time=True)
run("new bytes, same size and time", cone(0, 0))

stored(content(5, 0)).unlink()
run("intermediate deleted, nobody reads it", set())
write_graph(env={name(6, 0): "STEP=1"})
run("intermediate deleted, next stage edited", {name(5, 0), name(6, 0)})
damaged = stored(content(5, 0))
info = damaged.stat()
damaged.chmod(0o640)
damaged.write_text("!" + content(5, 0)[1:])
os.utime(damaged, ns=(info.st_atime_ns, info.st_mtime_ns))
damaged.chmod(0o440)
write_graph(env={name(6, 0): "STEP=2"})
run("intermediate corrupted, next stage edited", {name(6, 0)})
p.check(stored(content(5, 0)).read_text() == content(5, 0), "the damaged object was made again")
write_graph()
run("edits undone", set())

for take in range(5):
    write(0, f"take {take}")
    run(f"edits back to back, {take + 1} of 5", cone(0, 0))

write_graph(swapped={name(3, 2)})
run("two inputs swapped", cone(3, 2), swapped={name(3, 2)})
write_graph()
run("swapped back: only the file is written", {"out2"})

write_graph(env={name(4, 0): "MODE=a"})
run("declared environment added", {name(4, 0)})
write_graph(env={name(4, 0): "MODE=b"})
run("declared environment changed", {name(4, 0)})
run("undeclared environment changed", set(), environ={"MODE": "c", "TZ": "Asia/Tokyo", "LC_ALL": "de_DE.UTF-8", "HOME": "/nowhere"})

(scratch / "out/3").unlink()
run("written file deleted", {"out3"})
(scratch / "out/3").write_text("scribbled over")
run("written file overwritten", {"out3"})
text = graph.read_text()
graph.write_text("# a remark\n" + text.replace("    type: exec\n", "") .replace("    command:", "    type: exec\n    command:  ").replace("\n  n", "\n\n  n"))
run("remark, order of keys, white space", set())
graph.write_text(text)


# Animated parameters, on eight frames of which all are the same picture.
def frames(case, keys, wanted):
    """`wanted`: tasks of the animated node; all it changes is written."""
    (scratch / "animated.yaml").write_text(
        "understudy: 1\nnodes:\n"
        "  one: {type: synth_plate, frames: 1-1, width: 64, height: 64}\n"
        "  same: {type: exr_write, image: one.matte, path: same/1.exr}\n"
        "outputs: [same]\n")
    p.run(scratch / "animated.yaml", cache=cache)
    for frame in range(1, 9):
        target = scratch / f"plates/p.{frame}.exr"
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            target.write_bytes((scratch / "same/1.exr").read_bytes())
    (scratch / "animated.yaml").write_text(
        "understudy: 1\nnodes:\n"
        "  plate: {type: exr_read, path: plates/p.#.exr}\n"
        f"  soft: {{type: matte_edit, matte: plate, gain: {keys}}}\n"
        "  wide: {type: matte_edit, matte: soft, feather_px: 2}\n"
        "  out: {type: exr_write, image: wide, path: soft/s.#.exr}\n"
        "outputs: [out]\n")
    _, tasks = p.plan(scratch / "animated.yaml", cache=cache)
    summary, lines = p.run(scratch / "animated.yaml", cache=cache)
    done = [node for node, _ in p.ran(lines)]
    planned = {key for key, line in tasks.items() if line["state"] == "run"}
    right = done.count("soft") == wanted[0] and done.count("out") == wanted[1] and set(p.ran(lines)) <= planned
    table.append((case, done.count("soft"), wanted[0], "right" if right else "WRONG"))
    p.check(right, case, done)


frames("animated: held frames share one result", "{1: 0.5, 5: 0.25, ease: hold}", (2, 8))
frames("animated: one key changed", "{1: 0.5, 5: 0.125, ease: hold}", (1, 4))
frames("animated: key moved to frames that are known", "{1: 0.5, 4: 0.125, ease: hold}", (0, 1))
frames("animated: written another way", "{1: 0.5, 3: 0.5, 4: 0.125, 9: 0.125, ease: linear}", (0, 0))
frames("animated: not at all", "0.125", (0, 3))

print(f"{'case':48} {'ran':>4} {'had to':>7}")
for case, done, wanted, verdict in table:
    print(f"{case:48} {done:4} {wanted:7}  {verdict}")
