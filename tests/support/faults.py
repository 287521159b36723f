"""What the fault tests share: a small graph of every kind of task that makes results of all sizes quickly, what it must come
to, and how a cache is looked over."""
import os
import pathlib
import shutil
import subprocess

import pipeline as p

FRAMES = int(os.environ.get("FRAMES", 8))

# Small results and ones too large to lie inside anything else, tasks in the program and beside it, tasks of one frame, of a
# window and of all frames, and every node that writes a file. It reads files, for rendering them is slow.
GRAPH = """understudy: 1
show: faults
params:
  out: {type: path}
  frames: {type: frames}
  salt: {type: string, default: none}
nodes:
  little: {type: exr_read, path: plates/little.####.exr, frames: $(frames)}
  large:  {type: exr_read, path: plates/large.####.exr, frames: $(frames)}
  alpha:  {type: exr_read, path: plates/alpha.####.exr, frames: $(frames)}
  red:    {type: matte_edit, matte: little, channel: R, erode_px: 1}
  both:   {type: matte_edit, matte: red, with: alpha, channel: G, combine: max}
  wide:   {type: matte_edit, matte: large, channel: B, feather_px: 3}
  out:    {type: exr_write, image: both, path: $(out)/little.####.exr}
  zipped: {type: exr_write, image: wide, path: $(out)/large.####.exr, compression: zip}
  sum:    {type: exec, inputs: [red, wide], env: [SALT=$(salt)], command: [sh, -c, 'cat "$1"/* "$2"/* > all && cksum < all > "$3"', -, '{in0}', '{in1}', '{out}']}
  twice:  {type: exec, inputs: [sum], command: [sh, -c, 'cat "$1"/* "$1"/* > "$2"', -, '{in0}', '{out}']}
  text:   {type: file_write, file: twice, path: $(out)/sum.txt}
  sheet:  {type: contact_sheet, images: [little, both], path: $(out)/sheet.png, frames: 3, width: 24}
  quality: {type: compare, image: both, reference: little}
  report: {type: report, metrics: [quality], pictures: [sheet], path: $(out)/report.html}
outputs: [out, zipped, text, sheet, report]
"""

PLATES = """understudy: 1
params: {out: {type: path}, frames: {type: frames}}
nodes:
  little: {type: synth_plate, frames: $(frames), width: 32, height: 24}
  large:  {type: synth_plate, frames: $(frames), width: 128, height: 96, seed: 2}
  out_little: {type: exr_write, image: little, path: $(out)/little.####.exr}
  out_alpha:  {type: exr_write, image: little.matte, path: $(out)/alpha.####.exr}
  out_large:  {type: exr_write, image: large, path: $(out)/large.####.exr}
outputs: [out_little, out_alpha, out_large]
"""


class Case:
    """The graph with its footage in `folder`, run once undisturbed: `reference` are the digests of what it wrote, `tasks`
    how many tasks ran."""

    def __init__(self, folder, frames=FRAMES):
        self.folder, self.frames = folder, frames
        self.graph = folder / "graph.yaml"
        self.graph.write_text(GRAPH)
        (folder / "plates.yaml").write_text(PLATES)
        p.run(folder / "plates.yaml", "-p", f"out={folder}/plates", "-p", f"frames=1-{frames}", cache=folder / "cache-plates")
        shutil.rmtree(folder / "cache-plates")
        summary, lines = p.run(*self.words("whole"), cache=folder / "cache-whole")
        self.reference = p.digests(folder / "whole")
        self.tasks, self.seconds, self.events = summary["ran"], summary["seconds"], len(lines)

    def words(self, name, *more):
        return [self.graph, "-p", f"frames=1-{self.frames}", "-p", f"out={self.folder / name}", *more]

    def start(self, name, cache, output, *more):
        """A run in a process group of its own; its events go to the file `output`."""
        return subprocess.Popen(p.command("run", "--json", *self.words(name, *more)), env=p.environment(cache),
                                stdout=open(output, "wb"), stderr=subprocess.PIPE, start_new_session=True)

    def check_outputs(self, name, whole, *context):
        """Every file that is there under its own name is complete and right; `whole`: all are there, nothing else is."""
        there = p.digests(self.folder / name) if (self.folder / name).exists() else {}
        left = {file for file in there if file.endswith(".tmp")}
        for file, digest in there.items():
            p.check(file in left or self.reference.get(file) == digest, "wrong or partial file:", file, *context)
        if whole:
            p.check(set(there) - left == set(self.reference), "other files:", set(there) ^ set(self.reference), *context)
        return len(left)


def whole_lines(path):
    """The events in a file whose writer may have been killed in the middle of a line."""
    return p.events(path.read_text().rpartition("\n")[0])


def verify(cache):
    """`cache verify`: (what it counted, the damage it reported)."""
    out, said = p.call("cache", "verify", "--json", cache=cache, status=None)
    lines = p.events(out)
    p.check(lines and lines[-1]["event"] == "summary", "verify:", out[-2000:], said)
    return lines[-1], [line["text"] for line in lines if line["event"] == "warning"]


def check_clean(cache, *context):
    counted, reports = verify(cache)
    p.check(not reports and counted["damaged"] == 0, "damage:", counted, reports, *context)
    return counted


def copy(source, destination):
    """A copy to be damaged, instead of what is there."""
    shutil.rmtree(destination, ignore_errors=True)
    subprocess.run(["cp", "-a", str(source), str(destination)], check=True)


def number(name, default):
    return int(os.environ.get(name, default))
