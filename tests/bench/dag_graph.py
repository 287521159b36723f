#!/usr/bin/env python3
"""Writes a layered DAG of trivial copies as a graph, for measuring the engine's own cost.

    tests/bench/dag_graph.py FOLDER [--nodes 10000] [--layers 10] [--style nodes|frames]

LAYERS layers of NODES/LAYERS columns: node (l, i) reads (l-1, i) and (l-1, i+1) and copies the first;
layer 0 reads the source file src/i. Style `nodes` writes every node out, an `exec` of cp each. Style
`frames` is as many tasks in LAYERS per-frame nodes: a column is a frame, layer 0 reads pictures of 4 x 4
pixels, the others multiply by one, each frame its own. Prints the graph's path.
"""
import argparse
import pathlib
import struct
import zlib


def name(layer, column):
    return f"n{layer}_{column}"


def node(layer, column, columns):
    """One `exec` in YAML's flow style."""
    if layer == 0:
        return f"  {name(0, column)}: {{type: exec, command: [cp, '{{read0}}', '{{out}}'], reads: [src/{column}]}}\n"
    first, second = name(layer - 1, column), name(layer - 1, (column + 1) % columns)
    return (f"  {name(layer, column)}: {{type: exec, inputs: [{first}, {second}], "
            f"command: [cp, '{{in0}}/0000.bin', '{{out}}']}}\n")


def write_nodes(folder, columns, layers):
    (folder / "src").mkdir(parents=True, exist_ok=True)
    for column in range(columns):
        (folder / "src" / str(column)).write_text(f"frame {column}\n", encoding="utf-8")
    lines = ["understudy: 1\nnodes:\n"]
    lines += [node(layer, column, columns) for layer in range(layers) for column in range(columns)]
    lines.append("outputs: [" + ", ".join(name(layers - 1, column) for column in range(columns)) + "]\n")
    (folder / "graph.yaml").write_text("".join(lines), encoding="utf-8")


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def picture(number):
    """A grey PNG of 4 x 4 pixels, different for each number."""
    rows = b"".join(b"\0" + struct.pack(">4H", *[(number + 4 * y + x) % 65536 for x in range(4)]) for y in range(4))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 0, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def write_frames(folder, columns, layers):
    (folder / "src").mkdir(parents=True, exist_ok=True)
    for column in range(columns):
        (folder / "src" / f"{column:07d}.png").write_bytes(picture(column))
    lines = ["understudy: 1\nnodes:\n", f"  n0: {{type: image_read, path: src/#######.png, frames: 0-{columns - 1}}}\n"]
    lines += [f"  n{layer}: {{type: matte_edit, matte: n{layer - 1}, channel: Y, gain: 1}}\n" for layer in range(1, layers)]
    lines.append(f"outputs: [n{layers - 1}]\n")
    (folder / "graph.yaml").write_text("".join(lines), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--nodes", type=int, default=10000)
    parser.add_argument("--layers", type=int, default=10)
    parser.add_argument("--style", choices=["nodes", "frames"], default="nodes")
    arguments = parser.parse_args()
    columns = arguments.nodes // arguments.layers
    write = write_nodes if arguments.style == "nodes" else write_frames
    write(arguments.folder, columns, arguments.layers)
    print(arguments.folder / "graph.yaml")


if __name__ == "__main__":
    main()
