#!/usr/bin/env python3
"""Twenty environments, each with an empty cache: the same plan keys, the same bytes of what is written and of every object in
the cache, trainings in f32 and bf16 and what is below them included; only their metrics, which tell seconds, are left out. Then:
comments, the order of keys and white space change nothing. LONG=1 takes more frames and steps."""
import concurrent.futures
import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import pipeline as p

scratch = p.fresh_scratch()
text = (p.ROOT / "tests/integration/determinism.yaml").read_text()
if os.environ.get("LONG"):
    text = text.replace("1001-1002", "1001-1008").replace("steps: 2", "steps: 40")
if "avx512_bf16" in pathlib.Path("/proc/cpuinfo").read_text():
    text = text.replace("precision: f32", "precision: bf16")
else:
    print("no training in bf16: the processor has none")
ASKED = ["trained_out@1001", "weights", "weights_2", "out@1001", "out@1002", "sheet", "quality_file", "counted"]


def environments():
    """name -> what is put before the program, its arguments, environment variables, other settings."""
    bare = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    yield "plain", dict()
    yield "again", dict()
    yield "one thread", dict(words=["--threads", "1"])
    yield "one thread, bare", dict(words=["--threads", "1"], only=bare)
    yield "three threads", dict(words=["--threads", "3"])
    yield "bare environment", dict(only=bare)
    yield "other current folder", dict(cwd="/")
    yield "HOME is not there", dict(env={"HOME": "/nowhere", "XDG_CACHE_HOME": "/nowhere/cache"})
    yield "time zone", dict(env={"TZ": "Asia/Kolkata"})
    yield "language", dict(env={"LANG": "de_DE.UTF-8", "LC_ALL": "de_DE.UTF-8", "LC_NUMERIC": "fr_FR"})
    yield "no language", dict(env={"LANG": "C", "LC_ALL": "C"})
    yield "umask 077", dict(umask=0o077)
    yield "umask 000", dict(umask=0)
    yield "narrow terminal", dict(env={"COLUMNS": "20", "LINES": "4", "TERM": "dumb", "NO_COLOR": "1"})
    yield "PATH the other way round", dict(env={"PATH": ":".join(reversed(os.environ["PATH"].split(":"))) + ":/nowhere"})
    yield "a cache with an odd name", dict(cache="a cache, ü 'quoted'")
    yield "a hundred more variables", dict(env={f"SOME_{i}": "x" * i for i in range(100)} | {"OMP_SCHEDULE": "dynamic", "TMPDIR": "/tmp"})
    yield "few files, small stack", dict(limits={resource.RLIMIT_NOFILE: 128, resource.RLIMIT_STACK: 1 << 21})
    yield "nice", dict(before=["nice", "-n", "7"])
    yield "addresses not random", dict(before=["setarch", os.uname().machine, "-R"])
    yield "processor only", dict(words=["--devices", "cpu"])
    yield "little memory", dict(words=["--memory", "1G"])
    yield "events as JSON, index elsewhere", dict(words=["--json"], env={"XDG_STATE_HOME": str(scratch / "state")})
    yield "another host name", dict(before=["unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh"])
    yield "another clock", dict(before=["faketime", "-f", "@2031-02-03 04:05:06"])


def possible(before):
    """None, or why what stands before the program cannot be used here."""
    if before and not shutil.which(before[0]):
        return f"there is no {before[0]}"
    if before and subprocess.run([*before, "true"], capture_output=True).returncode != 0:
        return f"{before[0]} may not do it here"
    return None


def in_environment(number, how):
    """Runs from scratch; gives keys, bytes written, objects."""
    folder = scratch / f"e{number}"
    folder.mkdir()
    graph, cache = folder / "graph.yaml", folder / how.get("cache", "cache")
    graph.write_text(text)
    env = dict(how.get("only") or p.environment(cache))
    env.update({"UNDERSTUDY_CACHE": str(cache), **how.get("env", {})})

    def set_up():
        os.umask(how.get("umask", 0o022))
        for limit, most in how.get("limits", {}).items():
            resource.setrlimit(limit, (most, resource.getrlimit(limit)[1]))

    def call(*words, before=()):
        done = subprocess.run([*before, p.BINARY, *words], env=env, cwd=how.get("cwd", folder), preexec_fn=set_up, capture_output=True, text=True)
        p.check(done.returncode == 0, words, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout

    threads = [] if "--threads" in how.get("words", []) else ["--threads", "2"]
    call("run", str(graph), *threads, *how.get("words", []), before=how.get("before", ()))
    keys = {task: re.search(r"plan key (\w+)", call("explain", str(graph), task)).group(1) for task in ASKED}
    objects = p.digests(cache / "objects")
    timed = {name for name in objects if (cache / "objects" / name).read_bytes().startswith(b'{"event":"final","step"')}
    p.check(len(timed) <= 2, "metrics of two trainings, unless so small that they lie among the records", timed)
    return keys, p.digests(folder / "out"), {n: d for n, d in objects.items() if n not in timed}


def differences(a, b):
    return sorted(k for k in a.keys() | b.keys() if a.get(k) != b.get(k))


seen, skipped = {}, 0
with concurrent.futures.ThreadPoolExecutor(2) as pool:
    waiting = {}
    for number, (title, how) in enumerate(environments()):
        why_not = possible(how.get("before"))
        if why_not:
            skipped += 1
            print(f"skipped: {title}: {why_not}")
        else:
            waiting[title] = how, pool.submit(in_environment, number, how)
    for title, (how, future) in waiting.items():
        seen[title] = future.result()

keys, written, objects = seen["plain"]
trained = {name for name in written if name.startswith("trained")}
p.check(len(keys) == len(ASKED) and len(written) > 6 and len(trained) == 4, "what is compared", keys, written)
for title, (here_keys, here_written, here_objects) in seen.items():
    p.check(here_keys == keys, title, "has other keys:", differences(here_keys, keys))
    other = differences(here_written, written)
    p.check(not other, title, "wrote other bytes:", other)
    # What is worth an object depends on how long making it took; those of one name must be of one content.
    both = here_objects.keys() & objects.keys()
    other = [name for name in both if here_objects[name] != objects[name]]
    p.check(not other and len(both) > 8, title, "made other objects:", other, len(both))
p.check(len(seen) >= 20, "environments:", len(seen))
print(f"{len(seen)} environments, {skipped} skipped: the same {len(keys)} keys, {len(written)} files and {len(objects)} objects")

# The text of the graph: what YAML says is the same.
import yaml

graph, cache, told = scratch / "e0/graph.yaml", scratch / "e0/cache", yaml.safe_load(text)


def backwards(value):
    return {k: backwards(value[k]) for k in reversed(value)} if isinstance(value, dict) else value


def wide(line):
    return line.replace(": ", ":   ").replace("{", "{  ").replace(",", " ,  ")


for title, other in {
    "comments": "# first\n" + re.sub(r"(?m)$", "  # a remark", text).replace("  # a remark\n  ", "  # a remark\n\n  "),
    "white space": "\n".join(line if "exec" in line else wide(line) for line in re.sub(r"(?m)^( +)", r"\1\1", text).splitlines()),
    "keys sorted": yaml.safe_dump(told, sort_keys=True),
    "keys backwards, one line": yaml.safe_dump(backwards(told), sort_keys=False, default_flow_style=True, width=10**6),
}.items():
    p.check(yaml.safe_load(other) == told, title, "is another graph")
    graph.write_text(other)
    summary, _ = p.run(graph, cache=cache)
    p.check(summary["ran"] == 0, title, "ran something", json.dumps(summary))
    print(f"{title}: 0 reruns")
