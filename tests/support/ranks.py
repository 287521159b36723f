"""Trainings by several ranks, started by rank 0 or by a launcher (which the test is), for tests that compare them."""
import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import time

import pipeline as p


def finish(process, status=0, limit=60):
    _, said = process.communicate(timeout=limit)
    p.check(process.returncode == status, "exit", process.returncode, "wanted", status, said)
    return said


def children(process):
    task = pathlib.Path(f"/proc/{process.pid}/task")
    try:
        return [int(c) for t in task.iterdir() for c in (t / "children").read_text().split()]
    except OSError:
        return []


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, what, limit=30):
    end = time.monotonic() + limit
    while not condition():
        p.check(time.monotonic() < end, "waited too long for", what)
        time.sleep(0.02)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Trainings:
    """Of one graph, each by its name: a cache of its own that has the crops (nodes `crops`) already, and files."""

    def __init__(self, graph, crops):
        self.graph, self.scratch = graph, p.fresh_scratch()
        p.run(graph, *(w for name in crops for w in ("--only", name)), cache=self.scratch / "crops")

    def cache_of(self, name):
        if not (self.scratch / name).exists():
            shutil.copytree(self.scratch / "crops", self.scratch / name)
        return self.scratch / name

    def start(self, name, ranks, *settings, env=None, threads=None, words=()):
        values = [w for s in (f"out={self.scratch / 'out' / name}", f"ranks={ranks}", *settings) for w in ("-p", s)]
        return subprocess.Popen(p.command("run", self.graph, *values, "--threads", threads or max(ranks, 1), *words),
                                text=True, start_new_session=True,
                                env={**p.environment(self.cache_of(name)), **(env or {})},
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def launch(self, name, world, *settings, missing=(), port=None, key=None, seconds="1.5"):
        port = port or free_port()
        key = key or {}
        ranks = {}
        for r in range(world):
            if r not in missing:
                env = {"RANK": str(r), "WORLD_SIZE": str(world), "LOCAL_RANK": str(r), "MASTER_ADDR": "127.0.0.1",
                       "MASTER_PORT": str(port), "UNDERSTUDY_JOIN_SECONDS": seconds,
                       "UNDERSTUDY_JOB_KEY": key.get(r, "the key of this test")}
                ranks[r] = self.start(name, 0, *settings, env=env, threads=1)
        return ranks

    def model(self, name):
        return (self.scratch / "out" / name / "model.safetensors").read_bytes()

    def losses(self, name):
        """All losses, from the last checkpoint's file."""
        files = [f for f in (self.scratch / name).rglob("final-*.safetensors")]
        p.check(files, "no final checkpoint of", name)
        data = max(files).read_bytes()
        size = struct.unpack("<Q", data[:8])[0]
        first, last = json.loads(data[8:8 + size])["losses"]["data_offsets"]
        return struct.unpack(f"<{(last - first) // 4}f", data[8 + size + first:8 + size + last])

    def checkpoint(self, name):
        return list((self.scratch / name).rglob("step-*.safetensors"))
