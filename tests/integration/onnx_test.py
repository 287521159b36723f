#!/usr/bin/env python3
"""Models that come and go as ONNX files, beside onnxruntime: every operator of infer_onnx over small models, and the
exported network of a model of train_swap against infer_swap's own pixels."""
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


worst, count, seen = check_operators()
print(f"{count} models of {len(seen)} operators: largest difference {worst:.2g} relative")
