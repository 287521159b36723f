#!/usr/bin/env python3
"""The program as people and scripts see it: help, misuse, exit codes, JSON, carets.

usage: cli_test.py PROGRAM SCRATCH
"""
import json
import os
import pty
import re
import select
import shutil
import signal
import stat
import subprocess
import sys
import time

PROGRAM, SCRATCH = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
COMMANDS = ("run plan explain history validate nodes schema graph cache devices doctor model new "
            "version").split()
failures = 0


def check(what, right, shown=""):
    global failures
    if not right:
        failures += 1
        print(f"FAILED: {what}\n{shown}")


def same(what, got, wanted):
    check(what, got == wanted, f"--- got\n{got}\n--- wanted\n{wanted}")


def understudy(*arguments, env=None, cwd=SCRATCH):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, cwd=cwd,
                          env={**ENV, **(env or {})}, timeout=120, errors="surrogateescape")


def write(name, text):
    path = os.path.join(SCRATCH, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w" if isinstance(text, str) else "wb") as file:
        file.write(text)
    return path


def fresh():
    shutil.rmtree(SCRATCH, ignore_errors=True)
    os.makedirs(SCRATCH)


ENV = {name: value for name, value in os.environ.items()
       if not name.startswith(("UNDERSTUDY_", "XDG_"))}
ENV.update(UNDERSTUDY_CACHE=os.path.join(SCRATCH, "cache"), HOME=SCRATCH, LC_ALL="C.UTF-8")
PLATE = "  plate: {type: synth_plate, frames: 1-3, width: 32, height: 24, samples: 1}\n"
OUT = "  out: {type: exr_write, image: plate.image, path: comp/out.####.exr}\n"


def test_help():
    overview = understudy("--help")
    same("help ends with 0", overview.returncode, 0)
    same("help leaves stderr alone", overview.stderr, "")
    for command in COMMANDS:
        check(f"the overview lists {command}", re.search(rf"^  {command} ", overview.stdout, re.M))
        for way in ((command, "--help"), ("help", command), (command, "-h")):
            page = understudy(*way)
            same(f"{way} ends with 0", (page.returncode, page.stderr), (0, ""))
            check(f"{way} has an example", f"example:\n  understudy {command}" in page.stdout,
                  page.stdout)
    version = understudy("--version")
    check("version", re.fullmatch(r"understudy \d+\.\d+\.\d+\n", version.stdout), version.stdout)
    nothing = understudy()
    same("no command is misuse", (nothing.returncode, nothing.stdout), (2, ""))
    same("and shows the commands", nothing.stderr, overview.stdout)


MISUSE = [
    (["rum"], "error: no command 'rum'; did you mean 'run'?\n  try: understudy --help\n"),
    (["run"], "error: run: wanted GRAPH\n  try: understudy run --help\n"),
    (["run", "a.yaml", "b.yaml"],
     "error: run: 'b.yaml' is too much\n  try: understudy run --help\n"),
    (["run", "a.yaml", "--keepgoing"],
     "error: run: unknown option '--keepgoing'; did you mean '--keep-going'?\n"
     "  try: understudy run --help\n"),
    (["validate", "a.yaml", "--threads", "2"],
     "error: validate: unknown option '--threads'\n  try: understudy validate --help\n"),
    (["run", "a.yaml", "--threads"],
     "error: run: '--threads' needs N\n  try: understudy run --help\n"),
    (["run", "a.yaml", "--threads", "0"],
     "error: --threads is '0', allowed 1 to 4096\n  try: understudy run --help\n"),
    (["run", "a.yaml", "--memory=lots"],
     "error: --memory is 'lots', wanted a size such as 512M or 8G\n"
     "  try: understudy run --help\n"),
    (["run", "a.yaml", "--json=yes"],
     "error: run: --json takes no value\n  try: understudy run --help\n"),
    (["run", "a.yaml", "-p", "steps"],
     "error: -p takes NAME=VALUE, not 'steps'\n  try: understudy run --help\n"),
    (["nodes", "compositor"],
     "error: no node type 'compositor'; did you mean 'composite'?\n  try: understudy nodes\n"),
    (["cache", "tidy"], "error: cache: no verb 'tidy', allowed are stats, gc, verify, reindex, pins, pin, unpin, push, pull\n"
                        "  try: understudy cache --help\n"),
    (["model", "convert", "x"],
     "error: model: 'convert' is neither info FILE nor export MODEL OUT.onnx\n"
     "  try: understudy model --help\n"),
    (["new", "a/b"],
     "error: new: 'a/b' is not a name: letters, digits, '_', '-' and '.' make one\n"),
]


def test_misuse():
    for arguments, wanted in MISUSE:
        result = understudy(*arguments)
        same(arguments, (result.returncode, result.stdout, result.stderr), (2, "", wanted))


def test_carets():
    write("slip.yaml", "understudy: 1\nnodes:\n  plate:\n    type: synth_plate\n    widht: 4\n")
    result = understudy("validate", "slip.yaml")
    same("a slip", (result.returncode, result.stderr),
         (2, "slip.yaml:5:5: error: node 'plate' (synth_plate) has no key 'widht'\n"
             "   5 |     widht: 4\n"
             "     |     ^~~~~\n"
             "  try: did you mean 'width'?\n"))
    write("wide.yaml", "{understudy: 1, show: 'ééé', nodes: {a: {type: synth_plate, wörd: 4}}}\n")
    error = understudy("validate", "wide.yaml").stderr.splitlines()
    check("carets count characters", len(error) > 2 and
          error[2].index("^") == error[1].index("wörd"), "\n".join(error))
    check("and underline as many", len(error) > 2 and error[2].count("~") == 3, "\n".join(error))
    long = "understudy: 1\nnodes: {" + ", ".join(f"n{i}: {{type: synth_plate, frames: 1}}"
                                                 for i in range(4000)) + ", x: {type: no_such}}\n"
    write("long.yaml", long)
    error = understudy("validate", "long.yaml").stderr.splitlines()
    check("a long line is cut around the place", len(error) > 2 and len(error[1]) < 130 and
          error[1].index("no_such") == error[2].index("^"), "\n".join(error)[:500])
    write("bomb.yaml", "[" * 200000)
    result = understudy("validate", "bomb.yaml")
    check("200 KB of [ is one short error", result.returncode == 2 and len(result.stderr) < 600,
          result.stderr[:600])
    write("escape.yaml", b"understudy: 1\nnodes: {\x1b[31m: {}}\n")
    result = understudy("validate", "escape.yaml")
    check("nothing reaches the terminal's controls",
          result.returncode == 2 and "\x1b" not in result.stderr, repr(result.stderr))
    result = understudy("validate", "nowhere.yaml")
    check("a missing graph", "nowhere.yaml" in result.stderr and result.returncode in (2, 3),
          result.stderr)


def test_run():
    write("shot.yaml", "understudy: 1\nnodes:\n" + PLATE + OUT)
    plan = understudy("plan", "shot.yaml", "--json")
    lines = [json.loads(line) for line in plan.stdout.splitlines()]
    same("plan ends with its summary", lines[-1], {"event": "summary", "run": 6, "cached": 0})
    for line in lines[:-1]:
        check("a line a task", line["state"] == "run" and line["why"] and
              line["node"] in ("plate", "out") and line["frame"] in (1, 2, 3), line)
    run = understudy("run", "shot.yaml", "--json", "--threads", "2")
    events = [json.loads(line) for line in run.stdout.splitlines()]
    seconds = events[-1].pop("seconds")
    same("run ends with its summary", events[-1],
         {"event": "summary", "ran": 6, "cached": 0, "failed": 0, "skipped": 0})
    check("seconds are a number", isinstance(seconds, float) and seconds > 0, seconds)
    same("done events", sum(event["event"] == "done" for event in events), 6)
    written = [event for event in events if event["event"] == "written"]
    same("written", written, [{"event": "written", "node": "out", "files": 3,
                               "path": os.path.join(SCRATCH, "comp/out.####.exr")}])
    check("the files are there", os.path.isfile(os.path.join(SCRATCH, "comp/out.0003.exr")))
    for folder in ("", "index", "index/logs", "objects"):
        mode = os.stat(os.path.join(SCRATCH, "cache", folder)).st_mode
        same(f"others may not look into cache/{folder}", mode & 0o007, 0)
    again = understudy("run", "shot.yaml")
    same("again", (again.returncode, re.sub(r"\d+\.\d s", "T", again.stdout), again.stderr),
         (0, "out: comp/out.####.exr (3 frames)\nran 0, cached 6, failed 0 in T\n", ""))
    table = understudy("plan", "shot.yaml")
    same("a plan of nothing", (table.returncode, table.stdout),
         (0, "plate  3 frames     cached\nout    3 frames     cached\n0 of 6 tasks to run\n"))
    explain = understudy("explain", "shot.yaml", "out@2")
    check("explain", explain.returncode == 0 and explain.stdout.startswith("out@2 is cached\n"),
          explain.stdout + explain.stderr)
    explain = understudy("explain", "shot.yaml", "oot@2")
    same("explain a slip", (explain.returncode, explain.stderr),
         (2, "error: no node 'oot'; did you mean 'out'?\n"))
    only = understudy("run", "shot.yaml", "--only", "plate", "--frames", "2")
    check("only", "ran 0, cached 1, failed 0" in only.stdout, only.stdout + only.stderr)
    bad = understudy("run", "shot.yaml", "--frames", "x")
    same("bad frames", bad.returncode, 2)
    check("bad frames are named", "--frames is 'x'" in bad.stderr, bad.stderr)


def test_failures():
    write("fails.yaml", "understudy: 1\nnodes:\n" + PLATE +
          "  bad: {type: exec, command: ['false'], output: x.txt, files: plate.image}\n")
    missing = understudy("run", "fails.yaml", "-p", "no=1")
    same("an unknown parameter", missing.returncode, 2)
    write("missing.yaml", "understudy: 1\nnodes:\n"
          "  plate: {type: exr_read, path: none.####.exr, frames: 1-2}\n")
    for command in ("run", "plan"):
        result = understudy(command, "missing.yaml")
        same(f"{command} without its source ends with 3", result.returncode, 3)
        check("and names it", "none.0001.exr" in result.stderr, result.stderr)
    for empty in (("--cache", ""), ("--cache=",), ("--trace", "")):
        result = understudy("run", "shot.yaml", *empty)
        same(f"{empty} names nothing", (result.returncode, result.stderr.splitlines()[0]),
             (2, f"error: {empty[0].rstrip('=')} is '', wanted {'FILE' if 'trace' in empty[0] else 'DIR'}"))
    plain = write("plain", "x")
    result = understudy("run", "shot.yaml", "--cache", plain)
    check("a cache that is a file", result.returncode == 2 and "--cache" in result.stderr,
          f"{result.returncode}\n{result.stderr}")
    write("comp_is_file/comp", "x")
    shutil.copy(os.path.join(SCRATCH, "shot.yaml"), os.path.join(SCRATCH, "comp_is_file"))
    result = understudy("run", "comp_is_file/shot.yaml", "--json", "--keep-going")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    failed = [event for event in events if event["event"] == "failed"]
    same("every frame fails by itself", (result.returncode, len(failed), events[-1]["failed"]),
         (1, 3, 3))
    check("errors say where", failed and failed[0]["error"]["file"].endswith("shot.yaml") and
          failed[0]["error"]["line"] == 4 and failed[0]["error"]["because"], failed)
    result = understudy("run", "comp_is_file/shot.yaml", "--keep-going")
    same("as text each with its reason", result.stderr.count("because:"), 3)


def test_cache():
    write("shot.yaml", "understudy: 1\nnodes:\n" + PLATE + OUT)
    for verb in ("stats", "gc", "verify", "reindex", "pins", "unpin", "push"):
        words = ["x"] if verb == "unpin" else ["--remote", "http://127.0.0.1:9"] if verb == "push" else []
        none = understudy("cache", verb, *words, "--cache", "slip")
        same(f"{verb} of no cache", (none.returncode, none.stderr.splitlines()[0]), (3, "error: there is no cache 'slip'"))
    check("none is made", not os.path.exists(os.path.join(SCRATCH, "slip")))
    understudy("run", "shot.yaml")
    stats = json.loads(understudy("cache", "stats", "--json").stdout)
    check("stats", stats["objects"]["files"] > 0 and stats["records"]["files"] > 0 and
          stats["quarantined"]["files"] == 0, stats)
    fine = understudy("cache", "verify")
    same("a sound cache", (fine.returncode, fine.stderr), (0, ""))
    objects = os.path.join(SCRATCH, "cache/objects")
    path = next(os.path.join(folder, name) for folder, _, names in sorted(os.walk(objects))
                for name in sorted(names) if len(name) == 32)
    os.chmod(path, 0o600)
    with open(path, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([byte ^ 1]))
    damaged = understudy("cache", "verify")
    check("a flipped bit", damaged.returncode == 1 and path in damaged.stderr and
          "1 damaged" in damaged.stdout, damaged.stdout + damaged.stderr)
    same("is reported once", understudy("cache", "verify").returncode, 0)
    modes = {stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode)
             for folder, _, names in os.walk(objects) for name in names if len(name) == 32}
    same("objects are read-only", modes, {0o440})
    empty = os.path.join(SCRATCH, "xdg")
    understudy("run", "shot.yaml", env={"UNDERSTUDY_CACHE": "", "XDG_CACHE_HOME": empty})
    check("$XDG_CACHE_HOME", os.path.isdir(os.path.join(empty, "understudy/objects")))


def test_tables():
    schema = understudy("schema")
    check("the schema is JSON", "properties" in json.loads(schema.stdout))
    nodes = understudy("nodes").stdout
    names = re.findall(r"^  ([a-z_]+) ", nodes, re.M)
    check("every node type is listed", "synth_plate" in names and len(names) > 5, nodes)
    for name in names:
        page = understudy("nodes", name)
        check(f"nodes {name}", page.returncode == 0 and name in page.stdout, page.stderr)
        check(f"nodes {name} as Markdown", understudy("nodes", name, "--markdown").stdout[:1] == "#")
    write("shot.yaml", "understudy: 1\nnodes:\n" + PLATE + OUT)
    check("DOT", understudy("graph", "shot.yaml").stdout.startswith("digraph"))
    without = understudy("graph", "shot.yaml", "--svg", env={"PATH": SCRATCH})
    same("no dot", (without.returncode, without.stderr),
         (3, "error: no program 'dot' to draw with\n"
             "  try: install Graphviz, or leave out --svg\n"))
    if shutil.which("dot"):
        check("SVG", "<svg" in understudy("graph", "shot.yaml", "--svg").stdout)
    devices = json.loads(understudy("devices", "--json").stdout.splitlines()[0])
    check("devices", devices["name"] == "cpu" and devices["cores"] >= 1, devices)


def test_new():
    made = understudy("new", "ab010")
    same("new", (made.returncode, made.stdout), (0, "ab010.yaml written\n"))
    valid = understudy("validate", "ab010.yaml")
    same("what new writes is a graph", (valid.returncode, valid.stderr), (0, ""))
    again = understudy("new", "ab010.yaml")
    same("nothing is overwritten", (again.returncode, again.stderr),
         (2, "error: 'ab010.yaml' is there already\n"
             "  try: understudy new NAME, with another name\n"))


def test_model():
    header = json.dumps({"__metadata__": {"arch": "df-ud"},
                         "w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}).encode()
    header += b" " * (-len(header) % 8)
    write("m.safetensors", len(header).to_bytes(8, "little") + header + bytes(24))
    info = understudy("model", "info", "m.safetensors")
    check("model info", info.returncode == 0 and "arch: df-ud" in info.stdout and
          "2 x 3" in info.stdout and "6 values" in info.stdout, info.stdout + info.stderr)
    as_json = json.loads(understudy("model", "info", "m.safetensors", "--json").stdout)
    same("model info as JSON", (as_json["metadata"], as_json["arrays"]),
         ({"arch": "df-ud"}, [{"name": "w", "type": "F32", "shape": [2, 3]}]))
    write("bad.safetensors", b"\xff" * 64)
    before = open(os.path.join(SCRATCH, "m.safetensors"), "rb").read()
    os.symlink("m.safetensors", os.path.join(SCRATCH, "link.onnx"))
    for to in ("m.safetensors", "./m.safetensors", "link.onnx"):
        over = understudy("model", "export", "m.safetensors", to)
        same(f"a model over itself as {to}", (over.returncode, over.stderr.splitlines()[0]),
             (2, "error: 'm.safetensors' would be written over itself"))
    same("it is as it was", open(os.path.join(SCRATCH, "m.safetensors"), "rb").read(), before)
    same("info takes no --as", understudy("model", "info", "m.safetensors", "--as", "source").returncode, 2)
    bad = understudy("model", "info", "bad.safetensors")
    check("a bad model", bad.returncode == 1 and "bad.safetensors" in bad.stderr, bad.stderr)


def test_signals():
    write("slow.yaml", "understudy: 1\nnodes:\n"
          "  plate: {type: synth_plate, frames: 1-4000, width: 640, height: 480}\n")
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        child = subprocess.Popen([PROGRAM, "run", "slow.yaml", "--json"], cwd=SCRATCH, env=ENV,
                                 stdout=subprocess.PIPE, text=True)
        child.stdout.readline()  # it has begun
        child.send_signal(number)
        out, _ = child.communicate(timeout=60)
        last = json.loads(out.splitlines()[-1])
        same(f"signal {number}", (child.returncode, last["event"]), (status, "summary"))
    # timeout(1) sends its signal to the process, and again to the group that it is in.
    result = subprocess.run(["timeout", "--preserve-status", "-s", "TERM", "1", PROGRAM, "run", "slow.yaml", "--json"],
                            cwd=SCRATCH, env=ENV, capture_output=True, text=True, timeout=60)
    last = json.loads(result.stdout.splitlines()[-1])
    same("two signals of one moment", (result.returncode, last["event"]), (143, "summary"))


def test_readers_that_go():
    write("slow.yaml", "understudy: 1\nnodes:\n"
          "  plate: {type: synth_plate, frames: 1-4000, width: 640, height: 480}\n")
    begun = time.time()
    for arguments in (["run", "slow.yaml", "--json"], ["run", "slow.yaml", "--json", "--keep-going"]):
        child = subprocess.Popen([PROGRAM, *arguments], cwd=SCRATCH, env=ENV,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3):
            child.stdout.readline()
        child.stdout.close()
        same(f"{arguments} ends quietly", (child.wait(timeout=60), child.stderr.read()), (141, ""))
    check("long before its last frame", time.time() - begun < 60)
    stats = json.loads(understudy("cache", "stats", "--json").stdout)
    check("finished frames stay", stats["records"]["files"] > 0, stats)
    check("nothing is damaged", understudy("cache", "verify").returncode == 0)
    for arguments in (["plan", "slow.yaml", "--json"], ["nodes"]):
        read, unread = os.pipe()
        os.close(read)
        result = subprocess.run([PROGRAM, *arguments], cwd=SCRATCH, env=ENV, stdout=unread,
                                stderr=subprocess.PIPE, text=True, timeout=60)
        os.close(unread)
        same(f"{arguments[0]} to nobody", (result.returncode, result.stderr), (141, ""))
    with open("/dev/full", "w") as full:
        result = subprocess.run([PROGRAM, "nodes"], cwd=SCRATCH, env=ENV, stdout=full,
                                stderr=subprocess.PIPE, text=True, timeout=60)
    check("a full disk is an error", result.returncode == 75 and
          result.stderr.startswith("error: cannot write the output"), result)


def on_terminal(*arguments):
    """What a terminal of 80 columns gets, and the exit status."""
    child, fd = pty.fork()
    if child == 0:
        os.chdir(SCRATCH)
        os.execve(PROGRAM, [PROGRAM, *arguments], {**ENV, "TERM": "xterm"})
    got, end = b"", time.time() + 60
    while time.time() < end and select.select([fd], [], [], 60)[0]:
        try:
            part = os.read(fd, 65536)
        except OSError:
            break
        if not part:
            break
        got += part
    return got.decode(errors="replace"), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_closed_streams():
    """Nothing that is opened gets the number of a closed standard stream, and what is printed."""
    write("shot.yaml", "understudy: 1\nnodes:\n" + PLATE + OUT)
    for closed, status in ((">&-", 1), (">&- 2>&-", 1), ("<&- >&- 2>&-", 1), ("2>&-", 0)):
        shutil.rmtree(os.path.join(SCRATCH, "cache"), ignore_errors=True)
        shell = f'exec "$0" run shot.yaml {closed}'
        result = subprocess.run(["/bin/sh", "-c", shell, PROGRAM], cwd=SCRATCH, env=ENV, timeout=60,
                                capture_output=True, text=True)
        same(f"{closed}", result.returncode, status)
        for folder, _, names in os.walk(os.path.join(SCRATCH, "cache")):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    check(f"{closed}: {name} has no output", b"ran 6, cached" not in file.read())
        same(f"{closed}: the cache is whole", understudy("cache", "verify").returncode, 0)
        same(f"{closed}: and serves", understudy("plan", "shot.yaml", "--json").stdout.splitlines()[-1],
             '{"event":"summary","run":0,"cached":6}')


def test_terminal():
    write("live.yaml", "understudy: 1\nnodes:\n" + PLATE.replace("1-3", "1-9") + OUT)
    text, status = on_terminal("run", "live.yaml", "--cache", "live")
    same("on a terminal", status, 0)
    check("there is a bar", "█" in text or "░" in text, repr(text))
    check("it is redrawn in place", re.search(r"\r\x1b\[\d+A", text), repr(text))
    controls = set(re.findall(r"\x1b\[[0-9;]*([A-Za-z])", text))
    check("only the plainest of controls", controls <= set("AJK"), controls)
    lines = re.split(r"\r?\n", re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text))
    check("no line is wider than the terminal",
          max(len(line.rsplit("\r", 1)[-1]) for line in lines) < 80)
    check("it ends with the summary", re.search(r"ran 18, cached 0, failed 0 in [\d.]+ s\r\n$", text),
          repr(text[-300:]))


def test_speed():
    fastest = min(timed("version") for _ in range(5))
    print(f"start: {1000 * fastest:.1f} ms")


def timed(*arguments):
    begun = time.perf_counter()
    understudy(*arguments)
    return time.perf_counter() - begun


for test in (test_help, test_misuse, test_carets, test_run, test_failures, test_cache, test_tables,
             test_new, test_model, test_signals, test_readers_that_go, test_closed_streams, test_terminal, test_speed):
    fresh()
    if test is test_failures:
        write("shot.yaml", "understudy: 1\nnodes:\n" + PLATE + OUT)
    test()
print("FAILED" if failures else "passed")
sys.exit(failures > 0)
