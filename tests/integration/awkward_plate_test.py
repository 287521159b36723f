#!/usr/bin/env python3
"""An awkward plate comes back as it went in but for the face, as a tool that is not ours (oiiotool) sees it: data window inside a
larger display window, extra channels, timecode, light above 1.0. Pixels outside the matte keep their bits. A plate
without a face follows on_missing."""
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import pipeline as p

if not shutil.which("oiiotool"):
    print("skipped: no oiiotool (openimageio-tools)")
    raise SystemExit(0)
p.need_weights()
scratch = p.fresh_scratch()
cache = scratch / "cache"
plates = scratch / "plates"
frames = range(1001, 1005)
p.run(p.ROOT / "tests/integration/plates.yaml", "-p", f"out={plates}", "-p", "frames=1001-1004", cache=cache)


def oiio(*words):
    done = subprocess.run(["oiiotool", *map(str, words)], capture_output=True, text=True)
    p.check(done.returncode == 0, "oiiotool", words, done.stderr, done.stdout)
    return done.stdout


for f in frames:
    oiio(plates / f"double.{f}.exr", "--mulc", "6", "--ch", "R,G,B,A=1.0,depth.Z=10.0,matte.A=0.5", "--origin", "+310+126",
         "--fullsize", "960x540+0+0", "-d", "half", "--compression", "piz", "--attrib", "reelName", "A001",
         "--attrib:type=timecode", "smpte:TimeCode", "01:00:00:00", "-o", plates / f"awkward.{f}.exr")
    oiio("--pattern", "constant:color=0.18,0.2,0.22", "256x192", "3", "-d", "half", "-o", plates / f"empty.{f}.exr")

graph = p.ROOT / "graphs/face_replace.yaml"


def settings(plate, *words):
    return ["-p", f"actor={plates}/actor.####.exr", "-p", f"plate={plates}/{plate}.####.exr", "-p", "frames=1001-1004",
            "-p", f"out={scratch}/{plate}", "-p", "steps=200", "-p", "settle=100", "-p", "dims=16", *words]


p.run(graph, *settings("awkward"), cache=cache)
for f in frames:
    plate, comp = plates / f"awkward.{f}.exr", scratch / f"awkward/comp/comp.{f}.exr"
    inside = ["understudy.matte.A" + c for c in ("", "", "")]
    everywhere = oiio(plate, "--ch", "R,G,B", comp, "--ch", "R,G,B", "--sub", "--abs", "--printstats")
    outside = oiio(plate, "--ch", "R,G,B", comp, "--ch", "R,G,B", "--sub", "--abs", comp, "--ch",
                   "R=understudy.matte.A,G=understudy.matte.A,B=understudy.matte.A", "--mulc", "1e30", "--clamp:max=1", "--mulc", "-1",
                   "--addc", "1", "--mul", "--printstats")
    largest = [float(x) for x in re.search(r"Stats Max: ([-\d. e+]+)", outside).group(1).split()[:3]]
    changed = [float(x) for x in re.search(r"Stats Max: ([-\d. e+]+)", everywhere).group(1).split()[:3]]
    p.check(max(largest) == 0.0, "outside the matte", f, largest)
    p.check(max(changed) > 0.05, "inside the matte something changes", f, changed)
    kept = oiio(plate, "--ch", "A,depth.Z,matte.A", comp, "--ch", "A,depth.Z,matte.A", "--fail", "0", "--diff")
    p.check("PASS" in kept, "other channels", kept)
    light = oiio(comp, "--ch", "understudy.swap.R", "--printstats")
    p.check(float(re.search(r"Stats Max: ([-\d.e+]+)", light).group(1)) > 1.0, "light above 1 inside the face", light)

    def told(file):
        text = oiio("--info", "-v", file)
        return [line for line in text.splitlines()
                if re.search(r"pixel data origin|full/display|TimeCode|reelName|PixelAspect|screenWindow", line)]
    p.check(told(plate) == told(comp) and len(told(plate)) >= 4, "windows and attributes", told(plate), told(comp))

# No face: an error that names the frame, or the plate as it is.
_, said = p.call("run", graph, *settings("empty"), cache=cache, status=1)
p.check(re.search(r"no face in frame 100[1-4]", said), said)
_, said = p.call("run", graph, *settings("empty", "-p", "on_missing=plate"), cache=cache, status=1)
p.check("no face in any of the 4 crops" in said, said)

# One plate that loses its face in the middle, through the model trained for it.
for f in frames:
    shutil.copy(plates / (f"empty.{f}.exr" if f == 1003 else f"double.{f}.exr"), plates / f"gone.{f}.exr")
p.run(graph, *settings("gone", "-p", "on_missing=plate"), cache=cache)
same = oiio(plates / "gone.1003.exr", scratch / "gone/comp/comp.1003.exr", "--ch", "R,G,B", "--fail", "0", "--diff")
p.check("PASS" in same, same)
print("windows, channels, attributes, light and every bit outside the matte are kept")
