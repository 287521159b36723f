#!/usr/bin/env python3
"""Models that come and go as ONNX files, beside onnxruntime: every operator of infer_onnx over small models, and the
exported network of a model of train_swap against infer_swap's own pixels."""
import json
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PYTHON = ROOT / "build/python/bin/python"  # tools/setup makes it
try:
    import numpy
    import onnx
    import onnxruntime
except ImportError:
    if PYTHON.exists() and os.environ.get("UNDERSTUDY_TEST_PYTHON") != "1":
        os.environ["UNDERSTUDY_TEST_PYTHON"] = "1"
        os.execv(PYTHON, [str(PYTHON), *sys.argv])
    print("skipped: no onnxruntime (tools/setup installs it into build/python)")
    raise SystemExit(0)

sys.path.insert(0, str(ROOT / "tests/support"))
import exr
import onnx_cases
import pipeline as p

scratch = p.fresh_scratch()
cache = scratch / "cache"
session_options = onnxruntime.SessionOptions()
session_options.intra_op_num_threads = 1
session_options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL


def reference(model, **inputs):
    session = onnxruntime.InferenceSession(model.SerializeToString(), session_options, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def channels(count):
    return [f"c{i:03d}" for i in range(count)]


def relative(ours, theirs):
    return float(numpy.max(numpy.abs(ours - theirs)) / max(1e-3, float(numpy.max(numpy.abs(theirs)))))


def write_graph(path, nodes, outputs):
    lines = ["understudy: 1", "show: onnx", "nodes:"] + [f"  {name}: {{{body}}}" for name, body in nodes.items()]
    path.write_text("\n".join(lines + [f"outputs: [{', '.join(outputs)}]"]) + "\n")


def check_operators():
    x = numpy.random.default_rng(1).normal(0, 1, onnx_cases.SHAPE).astype("f4")
    exr.write(scratch / "x.exr", dict(zip(channels(8), x[0])))
    nodes = {"x": f"type: exr_read, path: {scratch}/x.exr"}
    wanted, outputs = {}, []
    for i, (name, opset, build) in enumerate(onnx_cases.cases):
        state = onnx_cases.random.bit_generator.state
        plain, _ = onnx_cases.image_model(name, opset, build)
        onnx_cases.random.bit_generator.state = state
        result = reference(plain, x=x)[0]
        model, _ = onnx_cases.image_model(name, opset, build, result.size)
        onnx.save(model, scratch / f"{i}.onnx")
        planes = -(-result.size // 192)
        wanted[i] = numpy.concatenate([result.ravel(), numpy.zeros(planes * 192 - result.size, "f4")]).reshape(planes, 12, 16)
        nodes[f"m{i}"] = f"type: model_read, path: {scratch}/{i}.onnx"
        nodes[f"y{i}"] = (f"type: infer_onnx, model: m{i}, image: x, channels: [{', '.join(channels(8))}], "
                          f"channels_out: [{', '.join(channels(planes))}]")
        nodes[f"o{i}"] = f"type: exr_write, image: y{i}, path: {scratch}/y{i}.exr, compression: none"
        outputs.append(f"o{i}")
    write_graph(scratch / "operators.yaml", nodes, outputs)
    summary, lines = p.run(scratch / "operators.yaml", "--keep-going", cache=cache, status=None)
    for line in lines:
        if line["event"] == "failed":
            print(line)
    bad, worst, seen = [], 0.0, set()
    for i, (name, opset, _) in enumerate(onnx_cases.cases):
        seen |= {node.op_type for node in onnx.load(scratch / f"{i}.onnx").graph.node}
        if not (scratch / f"y{i}.exr").exists():
            bad.append(f"{name}: did not run")
            continue
        planes = exr.read(scratch / f"y{i}.exr")
        ours = numpy.stack([planes[c] for c in channels(len(wanted[i]))])
        error = relative(ours, wanted[i])
        worst = max(worst, error)
        if not error <= 1e-5:
            bad.append(f"{name} (opset {opset}): {error:.3g} relative")
    p.check(not bad, "\n".join(bad))
    p.check(summary["failed"] == 0, summary)
    return worst, len(onnx_cases.cases), seen


ARCHITECTURES = {"df-ud": "arch: df, options: ud", "df": 'arch: df, options: ""', "df-tc": "arch: df, options: tc",
                 "liae-ud": "arch: liae, options: ud", "liae-utc": "arch: liae, options: utc"}
DIMS = "e_dims: 12, d_dims: 12, mask_dims: 8, ae_dims: 24"


def train(name):
    return (f"type: train_swap, source: a_crop, destination: b_crop, steps: 4, batch: 2, {DIMS}, {ARCHITECTURES[name]}, "
            "lr: 0.005, average: 0, license: CC0-1.0")


def person(name, seed):
    image = f"type: synth_plate, identity: {name}, seed: {seed}, frames: 1001-1003, width: 256, height: 192"
    return {f"{name}_image": image, f"{name}_found": f"type: face_detect, image: {name}_image",
            f"{name}_pose": f"type: face_align, image: {name}_image, faces: {name}_found",
            f"{name}_crop": f"type: face_crop, image: {name}_image, faces: {name}_pose, size: 64"}


def safetensors(path):
    """{name: array} of a file of floats."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + length])
    notes = header.pop("__metadata__")
    arrays = {n: numpy.frombuffer(data, "<f4", numpy.prod(a["shape"], dtype=int), 8 + length + a["data_offsets"][0]).reshape(a["shape"])
              for n, a in header.items()}
    return arrays, notes


def planes_of(path):
    found = exr.read(path)
    return numpy.stack([found[c] for c in ("R", "G", "B", "matte.A")])


def make_models():
    """A trained model of each architecture, crops, and what infer_swap makes of them as either identity."""
    nodes, outputs = {**person("a", 1), **person("b", 2)}, []
    nodes["crops"] = f"type: exr_write, image: b_crop, path: {scratch}/crop.####.exr, compression: none"
    for name in ARCHITECTURES:
        nodes[f"{name}_model"] = train(name)
        nodes[f"{name}_file"] = f"type: file_write, file: {name}_model, path: {scratch}/{name}.safetensors"
        for side in ("source", "destination"):
            nodes[f"{name}_{side}"] = f"type: infer_swap, model: {name}_model, faces: b_crop, as: {side}, mask: learned"
            nodes[f"{name}_{side}_out"] = (f"type: exr_write, image: {name}_{side}, path: {scratch}/{name}-{side}.####.exr, "
                                           "compression: none")
            outputs.append(f"{name}_{side}_out")
        outputs.append(f"{name}_file")
    write_graph(scratch / "models.yaml", nodes, outputs + ["crops"])
    p.run(scratch / "models.yaml", cache=cache)


def check_weights(model, arrays, name):
    """Layers keep their names and shapes."""
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    layers = {n: a for n, a in stored.items() if n in arrays}
    p.check(len(layers) > 20, name, "stores only", sorted(layers))
    for layer, array in layers.items():
        p.check(array.shape == arrays[layer].shape and array.tobytes() == arrays[layer].tobytes(), name, layer, "is another")
    p.check(all(a.size <= 4 for n, a in stored.items() if n not in arrays), name, "stores what the model has not")


def check_export(name, side):
    """The largest difference between onnxruntime on the exported network and infer_swap, relative to the largest value."""
    path = scratch / f"{name}-{side}.onnx"
    said, _ = p.call("model", "export", scratch / f"{name}.safetensors", path, "--as", side, "--json", cache=cache)
    line, = p.events(said)
    p.check(line["event"] == "exported" and line["bytes"] == path.stat().st_size, line)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    arrays, notes = safetensors(scratch / f"{name}.safetensors")
    check_weights(model, arrays, name)
    said = {m.key: m.value for m in model.metadata_props}
    for key in ("architecture", "encoding", "coverage", "license", "resolution"):
        p.check(said[key] == notes[key], key, said, notes)
    p.check(said["identity"] == side and len(said["digest"]) == 32, said)
    faces = numpy.stack([planes_of(scratch / f"crop.{f}.exr")[:3] for f in (1001, 1002, 1003)])
    image, mask = reference(model, face=faces)
    theirs = numpy.concatenate([image, mask], axis=1)
    ours = numpy.stack([planes_of(scratch / f"{name}-{side}.{f}.exr") for f in (1001, 1002, 1003)])
    p.check(numpy.std(ours[:, :3]) > 1e-3, name, "draws nothing")
    return relative(ours, theirs)


def check_return():
    """The exported network through infer_onnx draws what infer_swap draws."""
    nodes = {"crop": f"type: exr_read, path: {scratch}/crop.####.exr, frames: 1001-1003",
             "model": f"type: model_read, path: {scratch}/df-ud-source.onnx",
             "swap": "type: infer_onnx, model: model, image: crop, channels_out: [R, G, B, matte.A]",
             "out": f"type: exr_write, image: swap, path: {scratch}/back.####.exr, compression: none"}
    write_graph(scratch / "back.yaml", nodes, ["out"])
    p.run(scratch / "back.yaml", cache=cache)
    license = b"understudy.modelLicense\0string\0\7\0\0\0CC0-1.0"
    p.check(license in (scratch / "back.1002.exr").read_bytes(), "the licence is not in the result")
    return max(relative(planes_of(scratch / f"back.{f}.exr"), planes_of(scratch / f"df-ud-source.{f}.exr"))
               for f in (1001, 1002, 1003))


def check_info():
    """`model info` lists the operators and says which are missing; so does model_read before anything runs."""
    c = onnx_cases.Case("missing", 20)
    y = c.node("GridSample", c.node("Relu", "x"), numpy.zeros((1, 12, 16, 2), "f4"))
    onnx.save(c.model(y), scratch / "missing.onnx")
    out, _ = p.call("model", "info", scratch / "missing.onnx", cache=cache)
    p.check("1 x GridSample (missing in infer_onnx)\n" in out and "1 x Relu\n" in out and "any x 8 x any x any" in out, out)
    line = p.events(p.call("model", "info", scratch / "missing.onnx", "--json", cache=cache)[0])[0]
    p.check([o["known"] for o in line["operators"]] == [False, True] and line["operator_set"] == 20, line)
    write_graph(scratch / "missing.yaml", {"m": f"type: model_read, path: {scratch}/missing.onnx"}, ["m"])
    _, err = p.call("run", scratch / "missing.yaml", cache=cache, status=1)
    p.check("operators of set 20 that are missing here: GridSample (node 'n1')" in err, err)


check_info()
worst, count, seen = check_operators()
print(f"{count} models of {len(seen)} operators: largest difference {worst:.2g} relative")
p.need_weights()
make_models()
for name in ARCHITECTURES:
    errors = [check_export(name, side) for side in ("source", "destination")]
    print(f"{name} exported: largest difference {max(errors):.2g} relative")
    p.check(max(errors) <= 1e-3, name, errors)
back = check_return()
print(f"df-ud through infer_onnx: {back:.2g} relative")
p.check(back <= 1e-3, back)
