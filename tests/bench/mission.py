#!/usr/bin/env python3
"""The benchmark of the mission: time to a fixed loss at fixed hyper-parameters.

  mission.py PROGRAM [--actor PLATES --double PLATES] [--size PX] [--loss L] [--ranks 1,2] [--bf16]
             [--dims AE,E,D,MASK] [--batch PAIRS] [--device cpu|cuda:0] [--python INTERPRETER]

PLATES are name.####.exr; without them two synthetic heads are rendered. Trains until the mean loss
of 100 steps falls below L, from the same first weights, with our program on 1 and more ranks (same
pairs a step in all) and with PyTorch (INTERPRETER has it); prints a row for each. On a GPU PyTorch
trains twice: in f32 as it comes, and in bf16 compiled with CUDA graphs; ranks share the device."""
import argparse
import json
import os
import subprocess
import sys
import tempfile

STEPS = 20000

SYNTHETIC = """
  source_image: {{type: synth_plate, frames: 1-60, width: 256, height: 256, identity: a}}
  destination_image: {{type: synth_plate, frames: 1-60, width: 256, height: 256, identity: b}}
"""
PLATES = """
  source_image: {{type: exr_read, path: "{actor}", frames: all}}
  destination_image: {{type: exr_read, path: "{double}", frames: all}}
"""
SIDE = """
  {side}_found: {{type: face_detect, image: {side}_image}}
  {side}_pose: {{type: face_align, image: {side}_image, faces: {side}_found}}
  {side}_crop: {{type: face_crop, image: {side}_image, faces: {side}_pose, size: {size},
    coverage: full, on_missing: plate}}
  {side}_set: {{type: dataset, crops: {side}_crop}}
  {side}: {{type: file_write, file: {side}_set, path: {side}.safetensors}}
"""
TRAIN = """
  model: {{type: train_swap, source: source_set, destination: destination_set, steps: {steps},
    until: {{loss: {loss}}}, batch: {batch}, precision: {precision}, lr: 0.0005, clip: 1, average: 0,
    ae_dims: {dims[0]}, e_dims: {dims[1]}, d_dims: {dims[2]}, mask_dims: {dims[3]},
    loss: {{eyes_mouth: 0}}, settle: {{after: {steps}}}, checkpoint: {{minutes: 0}}{ranks}}}
  metrics: {{type: file_write, file: model.metrics, path: metrics.jsonl}}
"""


def run(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, **more)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def graph_text(options, ranks):
    plates = PLATES if options.actor else SYNTHETIC
    text = "understudy: 1\nnodes:" + plates.format(actor=options.actor, double=options.double)
    for side in ("source", "destination"):
        text += SIDE.format(side=side, size=options.size)
    if ranks is None:
        return text + "outputs: [source, destination]\n"
    text += TRAIN.format(steps=STEPS, loss=options.loss, batch=options.batch, dims=options.dims,
                         precision="bf16" if options.bf16 else "f32",
                         ranks=f", ranks: {ranks}" if ranks > 1 else "")
    return text + "outputs: [metrics]\n"


def run_graph(options, folder, cache, ranks):
    path = os.path.join(folder, "mission.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(graph_text(options, ranks))
    run([options.program, "run", path, "--cache", os.path.join(folder, cache), "--devices", options.device])


def ours(options, folder, ranks):
    run_graph(options, folder, f"cache{ranks}", ranks)
    with open(os.path.join(folder, "metrics.jsonl"), encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    steps = [line for line in lines if "step" in line and "seconds" in line]
    waits = [line["data_wait"] for line in steps if "data_wait" in line]
    return {"steps": steps[-1]["step"], "seconds": steps[-1]["seconds"],
            "loss": steps[-1]["loss"], "data_wait": sum(waits) / max(len(waits), 1)}


def torch(options, folder, how):
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "mission_torch.py")
    files = [os.path.join(folder, f"{side}.safetensors") for side in ("source", "destination")]
    numbers = [*options.dims, options.batch, os.cpu_count(), options.loss, STEPS]
    return json.loads(run([options.python, script, *files, *map(str, numbers), *how]).splitlines()[-1])


def peers(options):
    """What PyTorch is asked for."""
    if options.device == "cpu":
        return [["bf16"] if options.bf16 else []]
    return [["cuda"], ["cuda", "bf16", "compiled"]]


def row(options, name, result, base):
    images = 2 * options.batch * result["steps"] / result["seconds"]
    print(f"{name:28s} {result['seconds']:9.1f} {result['steps']:8d} {images:10.1f} "
          f"{base / result['seconds']:9.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("program", type=os.path.abspath)
    parser.add_argument("--actor", type=os.path.abspath)
    parser.add_argument("--double", type=os.path.abspath)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--loss", type=float, default=0.6)
    parser.add_argument("--ranks", default="1,2")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--dims", default="64,32,32,12", type=lambda text: [int(d) for d in text.split(",")])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--python", default=sys.executable)
    options = parser.parse_args()
    if bool(options.actor) != bool(options.double):
        parser.error("--actor and --double go together")
    with tempfile.TemporaryDirectory() as folder:
        run_graph(options, folder, "cache", None)
        print(f"to a loss of {options.loss}: df-ud {options.size} px ({options.dims}), {options.batch} pairs a step, "
              f"{'bf16' if options.bf16 else 'f32'}, {options.device}, {os.cpu_count()} cores")
        print(f"{'':28s} {'seconds':>9s} {'steps':>8s} {'images/s':>10s} {'x torch':>9s}")
        base = None
        for how in peers(options):
            peer = torch(options, folder, how)
            base = base or peer["seconds"]
            row(options, " ".join([f"PyTorch {peer['torch']}", *how[1:]]), peer, base)
        for ranks in map(int, options.ranks.split(",")):
            result = ours(options, folder, ranks)
            row(options, f"understudy, {ranks} rank{'s' if ranks > 1 else ''}", result, base)


if __name__ == "__main__":
    main()
