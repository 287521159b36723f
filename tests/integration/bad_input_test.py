#!/usr/bin/env python3
"""Bad input gives one clear error, exactly this text, the right exit status, and leaves nothing half-written.

Each case is a folder with a graph; what the program says on standard error must be tests/integration/bad_input/NAME.txt to
the letter (the scratch folder is written as $S). `UPDATE=1` writes the files anew, to be read before they are committed."""
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import pipeline as p

p.need_weights()
scratch = p.fresh_scratch()
cache = scratch / "cache"
texts = pathlib.Path(__file__).resolve().parent / "bad_input"
failures, cases = [], []


def case(name, status):
    def add(function):
        cases.append((name, status, function))
        return function
    return add


def png(path, width=64, height=48, value=90):
    """A grey still without a face, written without any image library."""
    rows = b"".join(b"\0" + bytes([value, value, value]) * width for _ in range(height))
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
                     + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def plates(folder, frames="1001-1004"):
    """Footage, made once and copied."""
    made = scratch / "plates"
    if not made.exists():
        p.run(p.ROOT / "tests/integration/plates.yaml", "-p", f"out={made}", "-p", "frames=1001-1004", cache=cache)
    shutil.copytree(made, folder / "plates")
    return folder / "plates"


def mount(folder, options):
    (folder / "small").mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder / "small")], capture_output=True).returncode:
        print(f"{folder.name} skipped: cannot mount a tmpfs")
        return False
    return True


READ = "understudy: 1\nnodes:\n  plate: {type: exr_read, path: plates/double.####.exr, frames: 1001-1004}\n"
WRITE = READ + "  out: {type: exr_write, image: plate, path: out/o.####.exr}\noutputs: [out]\n"
FACES = READ + """  found: {type: face_detect, image: plate}
  pose: {type: face_align, image: plate, faces: found}
  crop: {type: face_crop, image: plate, faces: pose, size: 64}
"""


@case("truncated_exr", 1)
def _(d):
    frame = plates(d) / "double.1003.exr"
    frame.write_bytes(frame.read_bytes()[:30000])
    return WRITE


@case("damaged_chunk", 1)
def _(d):
    frame = plates(d) / "double.1002.exr"
    data = bytearray(frame.read_bytes())
    data[len(data) // 2:len(data) // 2 + 64] = bytes(64)
    frame.write_bytes(data)
    return WRITE


@case("not_an_exr", 1)
def _(d):
    (plates(d) / "double.1001.exr").write_bytes(b"this is no picture, it is a sentence")
    return WRITE


@case("empty_exr", 1)
def _(d):
    (plates(d) / "double.1001.exr").write_bytes(b"")
    return WRITE


@case("hole_in_range", 3)
def _(d):
    (plates(d) / "double.1003.exr").unlink()
    return WRITE


@case("no_frames_on_disk", 3)
def _(d):
    return WRITE.replace("1001-1004", "all")


@case("missing_part", 1)
def _(d):
    plates(d)
    return WRITE.replace("frames:", "part: beauty, frames:")


@case("missing_channel", 1)
def _(d):
    plates(d)
    return WRITE.replace("frames:", "channels: [depth.Z], frames:")


@case("wrong_port_type", 2)
def _(d):
    plates(d)
    return READ + "  out: {type: exr_write, image: found, path: o.####.exr}\n  found: {type: face_detect, image: plate}\noutputs: [out]\n"


@case("unknown_key", 2)
def _(d):
    plates(d)
    return WRITE.replace("compression", "x").replace("path: out/", "compresion: zip, path: out/")


@case("unknown_choice", 2)
def _(d):
    return WRITE.replace("path: out/", "compression: zipp, path: out/")


@case("out_of_range", 2)
def _(d):
    return FACES.replace("size: 64", "size: 9") + "outputs: [crop]\n"


@case("unknown_type", 2)
def _(d):
    return READ.replace("exr_read", "exr_reed") + "outputs: [plate]\n"


@case("cycle", 2)
def _(d):
    return "understudy: 1\nnodes:\n  a: {type: matte_edit, matte: c}\n  b: {type: matte_edit, matte: a}\n  c: {type: matte_edit, matte: b}\noutputs: [c]\n"


@case("yaml_bomb", 2)
def _(d):
    lines = ["understudy: 1", "a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    return "\n".join(lines) + "\n"


@case("many_brackets", 2)
def _(d):
    return "[" * 200_000


@case("not_utf8", 2)
def _(d):
    (d / "shot.yaml").write_bytes(b"understudy: 1\nshow: \xff\xfe\n")
    return None


@case("mismatched_windows", 1)
def _(d):
    plates(d)
    png(d / "still.1001.png")
    for i in (1002, 1003, 1004):
        shutil.copy(d / "still.1001.png", d / f"still.{i}.png")
    return FACES + """  still: {type: image_read, path: still.####.png, frames: 1001-1004}
  comp: {type: composite, plate: still, faces: crop, swap: crop}
outputs: [comp]
"""


@case("different_frames", 2)
def _(d):
    plates(d)
    return FACES + """  other: {type: exr_read, path: plates/actor.####.exr, frames: 1001-1003}
  comp: {type: composite, plate: other, faces: crop, swap: crop}
outputs: [comp]
"""


@case("no_write_permission", 1)
def _(d):
    plates(d)
    if not mount(d, "ro,size=64k"):
        return False
    return WRITE.replace("out/o.", "small/o.")


@case("full_disk", 75)
def _(d):
    plates(d)
    if not mount(d, "size=64k"):
        return False
    return WRITE.replace("out/o.", "small/o.").replace("path: small", "compression: none, path: small")


@case("wrong_weights", 1)
def _(d):
    plates(d)
    models = d / "models"
    models.mkdir()
    for file in pathlib.Path(p.environment(cache)["UNDERSTUDY_MODELS"]).glob("*.tflite"):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        (models / file.name).write_bytes(data)
    return FACES + "outputs: [crop]\n", "--models", models


@case("no_weights", 3)
def _(d):
    plates(d)
    (d / "models").mkdir()
    return FACES + "outputs: [crop]\n", "--models", d / "models"


@case("bad_safetensors", 1)
def _(d):
    plates(d)
    (d / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    return FACES + """  model: {type: model_read, path: model.safetensors}
  swap: {type: infer_swap, model: model, faces: crop}
outputs: [swap]
"""


@case("overlapping_safetensors", 1)
def _(d):
    plates(d)
    head = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
                       "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}).encode()
    (d / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + bytes(12))
    return FACES + """  model: {type: model_read, path: model.safetensors}
  swap: {type: infer_swap, model: model, faces: crop}
outputs: [swap]
"""


@case("two_nodes_one_path", 2)
def _(d):
    plates(d)
    return WRITE.replace("outputs: [out]", "  out2: {type: exr_write, image: plate, path: out/o.####.exr}\noutputs: [out, out2]")


@case("frames_into_one_path", 2)
def _(d):
    plates(d)
    return WRITE.replace("out/o.####.exr", "out/o.exr")


@case("write_over_source", 2)
def _(d):
    plates(d)
    return WRITE.replace("out/o.####.exr", "plates/double.####.exr")


@case("two_nodes_one_linked_path", 2)
def _(d):
    plates(d)
    (d / "out").mkdir()
    (d / "published").symlink_to("out")
    return WRITE.replace("outputs: [out]", "  out2: {type: exr_write, image: plate, path: published/o.####.exr}\noutputs: [out, out2]")


@case("write_over_linked_source", 2)
def _(d):
    plates(d)
    (d / "shots").mkdir()
    (d / "shots/latest").symlink_to("../plates")
    return WRITE.replace("out/o.####.exr", "no/../shots/latest/double.####.exr")


@case("takes_into_one_path", 2)
def _(d):
    plates(d)
    return WRITE.replace("plates/double.", "plates/*.")


@case("write_to_a_pipe", 1)
def _(d):
    plates(d)
    os.mkfifo(d / "o.exr")
    return WRITE.replace("1001-1004", "1001").replace("out/o.####.exr", "o.exr")


@case("write_to_an_open_file", 1)
def _(d):
    plates(d)
    (d / "o.exr").symlink_to("/proc/self/fd/0")
    return WRITE.replace("1001-1004", "1001").replace("out/o.####.exr", "o.exr")


@case("write_to_a_folder", 1)
def _(d):
    plates(d)
    (d / "out").mkdir()
    return WRITE.replace("1001-1004", "1001").replace("out/o.####.exr", "out")


@case("write_to_nothing", 1)
def _(d):
    plates(d)
    return WRITE.replace("1001-1004", "1001").replace("out/o.####.exr", "''")


@case("exr_called_png", 2)
def _(d):
    plates(d)
    return WRITE.replace("o.####.exr", "o.####.png")


@case("source_is_a_pipe", 1)
def _(d):
    frame = plates(d) / "double.1002.exr"
    frame.unlink()
    os.mkfifo(frame)
    return WRITE


@case("read_only_cache", 1)
def _(d):
    plates(d)
    if not mount(d, "size=4m"):
        return False
    (d / "shot.yaml").write_text(WRITE)
    p.run(d / "shot.yaml", "--only", "plate", cache=d / "small/cache")
    subprocess.run(["mount", "-o", "remount,ro", str(d / "small")], check=True)
    return WRITE, "--cache", d / "small/cache"


@case("far_from_any_parameter", 2)
def _(d):
    plates(d)
    return FACES + "  model: {type: train_swap, source: crop, destination: crop, learning_rate: 1}\noutputs: [model]\n"


@case("outside_roots", 78)
def _(d):
    return WRITE.replace("nodes:", "roots: [plates]\nnodes:")


@case("outside_roots_by_a_link", 78)
def _(d):
    plates(d)
    (d / "shots").mkdir()
    (d / "shots/link").symlink_to("..")
    return WRITE.replace("nodes:", "roots: [plates, shots]\nnodes:").replace("out/o.", "shots/made/../link/o.")


@case("no_face_anywhere", 1)
def _(d):
    png(d / "still.png")
    return """understudy: 1
nodes:
  image: {type: image_read, path: still.png}
  found: {type: face_detect, image: image}
  pose: {type: face_align, image: image, faces: found}
  crop: {type: face_crop, image: image, faces: pose, size: 64, on_missing: plate}
  set: {type: dataset, crops: crop}
outputs: [set]
"""


@case("no_face_in_frame", 1)
def _(d):
    png(d / "still.png")
    return """understudy: 1
nodes:
  image: {type: image_read, path: still.png}
  found: {type: face_detect, image: image}
  pose: {type: face_align, image: image, faces: found}
  crop: {type: face_crop, image: image, faces: pose, size: 64}
outputs: [crop]
"""


@case("one_face_in_set", 1)
def _(d):
    plates(d)
    return FACES.replace("1001-1004", "1001") + """  actor: {type: exr_read, path: plates/actor.####.exr, frames: 1001-1004}
  actor_found: {type: face_detect, image: actor}
  actor_pose: {type: face_align, image: actor, faces: actor_found}
  actor_crop: {type: face_crop, image: actor, faces: actor_pose, size: 64}
  model: {type: train_swap, source: actor_crop, destination: crop, steps: 2}
outputs: [model]
"""


@case("sizes_differ", 1)
def _(d):
    plates(d)
    return FACES + """  other: {type: face_crop, image: plate, faces: pose, size: 96}
  model: {type: train_swap, source: other, destination: crop, steps: 2}
outputs: [model]
"""


@case("not_a_crop", 1)
def _(d):
    plates(d)
    return READ + "  set: {type: dataset, crops: plate}\noutputs: [set]\n"


@case("bad_override", 1)
def _(d):
    plates(d)
    for i in range(1001, 1005):
        (d / f"fix.{i}.json").write_text('{"faces": [{"box": [1, 2, "three", 4]}]}')
    return FACES + "  fixed: {type: face_override, faces: pose, path: fix.####.json}\noutputs: [fixed]\n"


@case("command_fails", 1)
def _(d):
    return """understudy: 1
nodes:
  tool: {type: exec, command: [/bin/sh, -c, "echo cannot open licence >&2; exit 9"], output: result.txt}
outputs: [tool]
"""


@case("command_missing", 3)
def _(d):
    return """understudy: 1
nodes:
  tool: {type: exec, command: [/opt/none/denoise, "{out}"], output: result.txt}
outputs: [tool]
"""


@case("too_low_quality", 1)
def _(d):
    plates(d)
    return READ + """  actor: {type: exr_read, path: plates/actor.####.exr, frames: 1001-1004}
  q: {type: compare, image: actor, reference: plate, at_least: {psnr: 60}}
outputs: [q]
"""


def say(name, status, function):
    folder = scratch / name
    folder.mkdir()
    made = function(folder)
    if made is False:
        return
    text, *words = made if isinstance(made, tuple) else (made,)
    if text is not None:
        (folder / "shot.yaml").write_text(text)
    before = {f: digest for f, digest in p.digests(folder).items() if not f.startswith("small/")}
    done = subprocess.run(p.command("run", "shot.yaml", "--threads", 1, *words), cwd=folder, env=p.environment(cache),
                          capture_output=True, text=True, timeout=120)
    said = done.stderr.replace(str(scratch), "$S").replace(str(p.ROOT), "$ROOT")
    said = re.sub(r"in \d+\.\d s", "in N s", said)
    said = re.sub(r"[^\n]*\.(\d+-\d+)\.tmp", "$TMP", said)
    if (folder / "small").exists():
        subprocess.run(["umount", str(folder / "small")], check=True)
    left = [f for f in p.digests(folder) if f.endswith(".tmp")]
    changed = [f for f, digest in before.items() if p.digests(folder).get(f) != digest]
    file = texts / f"{name}.txt"
    if os.environ.get("UPDATE"):
        texts.mkdir(exist_ok=True)
        file.write_text(said)
    wanted = file.read_text() if file.exists() else ""
    if done.returncode != status:
        failures.append(f"{name}: exit {done.returncode}, wanted {status}\n{said}")
    elif said != wanted:
        failures.append(f"{name}: said\n{said}wanted\n{wanted}")
    if left or changed:
        failures.append(f"{name}: left {left}, changed {changed}")


for one in cases:
    say(*one)
if failures:
    raise SystemExit("\n".join(failures))
print(f"{len(cases)} bad inputs, each with its exact message")
