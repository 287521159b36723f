#!/usr/bin/env python3
"""Adds up a trace of cuda_trace.c, step by step.

  cuda_trace.py TRACE.tsv [MARK]

A step ends with each kernel whose name has MARK in it (the optimizer's: `update<`). Prints for the median step how long
the device worked on something, how long two things overlapped, and each kernel's calls, time and share."""
import collections
import gzip
import re
import sys


def read(path):
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt", errors="replace") as lines:
        for line in lines:
            begin, end, stream, grid, block, registers, name = line.rstrip("\n").split("\t", 6)
            yield int(begin), int(end), int(stream), grid, block, int(registers), name


def short(name):
    """A mangled C++ name without its arguments, cut."""
    plain = re.sub(r"^_Z(?:N?\d*_GLOBAL__N__\w+?_)?L?", "", name)
    return plain[:96]


def busy(records):
    """Time with at least one, and with at least two of them."""
    events = sorted([(r[0], 1) for r in records] + [(r[1], -1) for r in records])
    one = two = depth = 0
    last = events[0][0]
    for time, change in events:
        one += (time - last) * (depth >= 1)
        two += (time - last) * (depth >= 2)
        depth, last = depth + change, time
    return one, two


def main():
    records = sorted(read(sys.argv[1]))
    mark = sys.argv[2] if len(sys.argv) > 2 else "update"
    steps, step = [], []
    for record in records:
        step.append(record)
        if mark in record[6]:
            steps.append(step)
            step = []
    if not steps:
        sys.exit(f"no kernel has '{mark}' in its name")
    steps.sort(key=lambda s: s[-1][1] - s[0][0])
    step = steps[len(steps) // 2]
    whole = step[-1][1] - step[0][0]
    one, two = busy(step)
    print(f"{len(steps)} steps; the median one: {whole / 1e3:.1f} us, {len(step)} pieces of work, "
          f"busy {one / whole:.1%}, two at a time {two / whole:.1%}")
    sums = collections.defaultdict(lambda: [0, 0])
    for begin, end, _, grid, block, registers, name in step:
        entry = sums[short(name)]
        entry[0] += 1
        entry[1] += end - begin
    total = sum(t for _, t in sums.values())
    for name, (calls, time) in sorted(sums.items(), key=lambda item: -item[1][1]):
        print(f"{time / 1e3:9.1f} us {time / total:6.1%} {calls:4d}  {name}")


if __name__ == "__main__":
    main()
