#!/usr/bin/python3
"""Every graph in graphs/ fits the schema that `understudy schema` prints; misspelt ones do not.

The validator is python3-jsonschema, not ours. Usage: schema_test.py UNDERSTUDY [SCRATCH]
"""
import copy
import glob
import json
import subprocess
import sys

import jsonschema
import yaml

# Paths in a graph to a mapping, and a key there that nobody knows.
MISSPELT = [
    ((), "nods"),
    (("params", "steps"), "defualt"),
    (("templates", "t"), "node"),
    (("templates", "t", "nodes", "n"), "cached"),
    (("nodes", "src"), "frmaes"),
    (("nodes", "model"), "stepss"),
    (("nodes", "model", "until"), "los"),
    (("nodes", "comp", "erode_px"), "easing"),
]

# Paths to a value, and one that is wrong there.
WRONG = [
    (("understudy",), 2),
    (("params", "steps", "type"), "integer"),
    (("nodes", "src", "type"), "exr_raed"),
    (("nodes", "src", "path"), [1]),
    (("nodes", "src", "frames"), {}),
    (("nodes", "src", "cache"), "maybe"),
    (("nodes", "comp", "plate"), ["src", "src"]),
    (("nodes", "comp", "erode_px"), "four"),
    (("nodes", "comp", "erode_px"), {"1001": "four"}),
    (("nodes", "model", "steps"), 0),
    (("nodes", "model", "steps"), 1.5),
    (("nodes", "model", "until"), 3),
    (("outputs",), {}),
]

GOOD = """
understudy: 1
show: nightfall
include: [show.yaml]
roots: [.]
params:
  steps: {type: int, default: 20000, min: 1, doc: How long.}
  mode:  {type: choice, choices: [a, b], default: a}
  plate: {type: path}
templates:
  t:
    params: {n: {type: int}}
    inputs: {image: , faces: {doc: Faces., optional: true}}
    nodes:
      n: {type: face_crop, image: image, faces: faces, size: $(n)}
    output: n
nodes:
  src:   {type: exr_read, path: $(plate), frames: "1001-1048,1050", cache: drop}
  found: {type: face_detect, image: src}
  crop:  {use: t, n: 128, image: src, faces: found}
  other: {frames: 1001}
  model:
    type: train_swap
    source: crop
    destination: [crop, crop]
    steps: $(steps)
    until: {loss: 0.02}
  swap:  {type: infer_swap, model: model, faces: crop}
  comp:
    type: composite
    plate: src
    faces: crop
    swap: swap
    erode_px: {1001: 4, 1040: $(steps), ease: linear}
outputs: [comp]
"""


def as_json(text):
    """YAML as a JSON document: keys are strings."""
    return json.loads(json.dumps(yaml.safe_load(text)))


def put(document, path, value):
    """A copy of the document with another value at a path."""
    changed = copy.deepcopy(document)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


def main():
    schema = json.loads(subprocess.run([sys.argv[1], "schema"], check=True, capture_output=True).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    def errors(document):
        return [f"{'/'.join(map(str, e.absolute_path))}: {e.message[:300]}" for e in validator.iter_errors(document)]

    failed = []
    graphs = sorted(glob.glob("graphs/*.yaml"))
    if len(graphs) < 2:
        failed.append("graphs/ holds no graphs to check")
    for path in graphs:
        with open(path, encoding="utf-8") as file:
            failed += [f"{path}: {e}" for e in errors(as_json(file.read()))]

    good = as_json(GOOD)
    failed += [f"the good graph: {e}" for e in errors(good)]
    for path, key in MISSPELT:
        if not errors(put(good, path + (key,), 1)):
            failed.append(f"unknown key {'/'.join(path + (key,))} passes")
    for path, value in WRONG:
        if not errors(put(good, path, value)):
            failed.append(f"{'/'.join(path)}: {value!r} passes")
    print("\n".join(failed) or f"{len(graphs)} graphs fit; {len(MISSPELT)} misspelt keys and {len(WRONG)} wrong values do not")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
