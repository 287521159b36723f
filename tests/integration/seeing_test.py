#!/usr/bin/env python3
"""What can be seen of runs: traces, the history, explain over every kind of task, states in the graph's picture, and the
time that a run is expected to take."""
import http.server
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import pipeline as p

scratch = p.fresh_scratch()
CACHE = scratch / "cache"
SYNTH = "type: synth_plate, width: 64, height: 64, samples: 1"


def call(*words, status=0, cache=CACHE):
    return p.call(*words, cache=cache, status=status, cwd=scratch)


def write(name, text):
    (scratch / name).write_text("understudy: 1\n" + text)
    return name


TAKES = write("takes.yaml", f"""
nodes:
  one: {{{SYNTH}, frames: 1-3, identity: a, other: b, seed: 1}}
  two: {{{SYNTH}, frames: 1-2, identity: a, other: b, seed: 2}}
  first:  {{type: exr_write, image: one, path: actor/take1.####.exr}}
  second: {{type: exr_write, image: two, path: actor/take2.####.exr}}
outputs: [first, second]
""")
SHOT = write("shot.yaml", f"""
params:
  grow: {{type: float, default: 1}}
  seed: {{type: int, default: 2}}
templates:
  look:
    inputs: {{matte: {{doc: A matte.}}}}
    nodes:
      soft: {{type: matte_edit, matte: matte, channel: R, feather_px: 2}}
nodes:
  plate: {{{SYNTH}, frames: 1001-1006, identity: b, other: a, seed: $(seed)}}
  matte: {{type: matte_edit, matte: plate, channel: R, erode_px: $(grow)}}
  view:  {{use: look, matte: matte}}
  actor: {{type: exr_read, path: actor/take*.####.exr, frames: all}}
  cut:   {{type: matte_edit, matte: actor, channel: R, gain: $(grow)}}
  cuts:  {{type: contact_sheet, images: [cut], path: out/cuts.png}}
  sheet: {{type: contact_sheet, images: [plate, view.soft], path: out/sheet.png}}
  spare: {{type: matte_edit, matte: plate.matte, erode_px: 9}}
  out:   {{type: exr_write, image: view.soft, path: out/matte.####.exr}}
outputs: [out, sheet, cuts]
""")
FAILS = write("fails.yaml", f"""
params: {{wait: {{type: string, default: '0'}}}}
nodes:
  plate: {{{SYNTH}, frames: 1-2, identity: b, other: a, seed: 3}}
  slow:  {{type: exec, command: [sleep, $(wait)], output: x.txt}}
  bad:   {{type: exec, command: ['false'], output: x.txt, inputs: [plate]}}
  one:   {{type: file_write, file: bad, path: out/x.txt}}
  two:   {{type: file_write, file: slow, path: out/y.txt}}
outputs: [one, two]
""")


def read_trace(name):
    """The trace's spans on workers' rows, checked: each row has a name, no two spans on it overlap."""
    events = json.loads((scratch / name).read_text())["traceEvents"]
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    processes = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    p.check(sorted(processes.values()) == ["devices", "workers"], processes)
    rows = {}
    for e in events:
        if e["ph"] == "X":
            p.check(e["ts"] >= 0 and e["dur"] >= 0 and e["cat"] and e["args"]["node"], e)
            rows.setdefault((e["pid"], e["tid"]), []).append(e)
    for row, spans in rows.items():
        p.check(row in names, "a row has no name:", row)
        spans.sort(key=lambda e: e["ts"])
        for a, b in zip(spans, spans[1:]):
            p.check(a["ts"] + a["dur"] <= b["ts"] + 1e-3, names[row], "spans overlap:", a, b)
    spans = [e for (pid, _), on in rows.items() if processes[pid] == "workers" for e in on]
    return spans, events


def told(spans, result):
    return sorted((e["args"]["node"], e["args"].get("frame", -1), e["args"].get("take", 0))
                  for e in spans if e["args"]["result"] == result)


# -- nothing yet
out, _ = call("history", SHOT)
p.check(out == "no run of shot.yaml with this cache is remembered here\n", out)
_, error = call("history", SHOT, "1", status=2)
p.check("no run '1': no run of this graph" in error, error)
_, error = call("plan", SHOT, "--remote-mode", "rw", status=2)
p.check("mode is 'rw', allowed read, write and both" in error, "without a remote, too", error)
p.check(p.events(call("history", SHOT, "--json")[0]) == [{"event": "summary", "runs": 0}], "an empty history in JSON")
_, error = call("history", "nowhere.yaml", status=2)
p.check("no graph file 'nowhere.yaml'" in error, error)
p.run(scratch / TAKES, cache=CACHE)
out, _ = call("explain", SHOT, "plate")
p.check(out == "plate@1001-1006 would run: no result yet\n", out)

# -- a trace has every task once
out, _ = call("run", SHOT, "--json", "--threads", "2", "--trace", "trace.json")
lines = p.events(out)
begun = [e for e in lines if e["event"] == "plan"]
p.check(len(begun) == 1 and begun[0]["to_run"] == lines[-1]["ran"] and begun[0]["cached"] == 0, begun)
p.check(lines.index(begun[0]) < min(i for i, e in enumerate(lines) if e["event"] == "start"), "the plan comes first")
spans, events = read_trace("trace.json")
p.check(told(spans, "ran") == sorted((e["node"], e["frame"] if e["frame"] is not None else -1, e.get("take", 0))
                                     for e in lines if e["event"] == "done"), "spans are not what ran:", spans)
p.check(len(spans) == lines[-1]["ran"] == 6 * 4 + 5 * 2 + 2, len(spans), lines[-1])
p.check(all(e["args"]["why"] == "no result yet" for e in spans), spans)
p.check({e["cat"] for e in spans} >= {"synth_plate", "matte_edit", "contact_sheet"}, spans)
counters = {e["name"] for e in events if e["ph"] == "C"}
p.check(counters == {"running tasks", "memory of the process"}, counters)

# -- a trace of nothing to do, of a failure, of a run that was stopped, and without a place for it
summary, lines = p.run(scratch / SHOT, "--trace", scratch / "trace.json", cache=CACHE)
spans, events = read_trace("trace.json")
p.check(summary["ran"] == 0 and not spans and p.cached(lines) == 36, summary, spans)
p.check(any(e["name"] == "cached: plate (6)" for e in events), "cached tasks are told by node")
_, error = call("run", FAILS, "--trace", "trace.json", "--keep-going", status=1)
spans, events = read_trace("trace.json")
p.check(told(spans, "failed") == [("bad", -1, 0), ("slow", -1, 0)], spans)
p.check({e["name"] for e in events if e["ph"] == "i"} >= {"failed: bad", "failed: slow"}, events)
run = subprocess.Popen(p.command("run", FAILS, "-p", "wait=60", "--only", "slow", "--json", "--trace", "trace.json"),
                       env=p.environment(CACHE), cwd=scratch, stdout=subprocess.PIPE, text=True)
while json.loads(run.stdout.readline())["event"] != "start":
    pass
run.send_signal(signal.SIGINT)
run.communicate()
p.check(run.returncode == 130, run.returncode)
spans, _ = read_trace("trace.json")
p.check(told(spans, "stopped") == [("slow", -1, 0)], spans)
_, error = call("run", SHOT, "-p", "seed=3", "--trace", "/dev/full")
p.check(error.count("error:") == 1 and error.startswith("error: cannot write the trace '/dev/full'"), error)
_, error = call("run", SHOT, "-p", "seed=4", "--trace", "nowhere/trace.json", status=3)
p.check("cannot write the trace 'nowhere/trace.json'" in error, error)

# -- the history
call("run", SHOT, "-p", "seed=3", "--only", "matte", "--frames", "1001-1002")
for _ in range(2):
    call("run", SHOT, "-p", "grow=2", "-p", "seed=3")
runs = p.events(call("history", SHOT, "--json")[0])
p.check(runs.pop() == {"event": "summary", "runs": 7}, runs)
p.check([r["number"] for r in runs] == list(range(1, 8)), runs)
p.check([(r["ran"], r["cached"], r["status"]) for r in runs] ==
        [(36, 0, 0), (0, 36, 0), (25, 11, 0), (0, 0, 3), (0, 4, 0), (25, 11, 0), (0, 36, 0)], runs)
p.check(runs[3]["failure"].startswith("cannot write the trace"), runs[3])
p.check(runs[5]["parameters"] == {"grow": "2", "seed": "3"} and runs[4]["only"] == ["matte"], runs[4:6])
why = {n["node"]: n["why"] for n in runs[5]["nodes"]}
p.check(why["matte"] == "erode_px 1 → 2" and why["cut"] == "gain 1 → 2" and "plate" not in why, why)
p.check(all("@" in r["by"] and r["when"] > 1e9 and r["graph"] == str(scratch / SHOT) for r in runs), runs[0])
nameless = {k: v for k, v in p.environment(CACHE).items() if k not in ("USER", "LOGNAME")}
subprocess.run(p.command("run", FAILS, "--only", "plate"), env=nameless, cwd=scratch, check=True, capture_output=True)
by = p.events(call("history", FAILS, "--json")[0])[-2]["by"]
names = [user.pw_name for user in pwd.getpwall() if user.pw_uid == os.getuid()] or [f"uid {os.getuid()}"]
p.check(by in [f"{name}@{socket.gethostname()}" for name in names], "without $USER it is by", by)
table = call("history", SHOT)[0].splitlines()
p.check(len(table) == 8 and re.search(r"^ +6  .* 25 +11 +0 .* grow=2, seed=3; matte: erode_px 1 → 2$", table[6]), table)
one, _ = call("history", SHOT, "6")
p.check(re.search(r"^run 6 of .*shot.yaml\n.*\n  asked +grow=2, seed=3\n  result +ran 25, cached 11, failed 0 in [\d.]+ s "
                  r"\([\d.]+ s expected\), status 0\n", one), one)
p.check(re.search(r"\n  matte +ran 6, [\d.]+ s of work, because: erode_px 1 → 2\n", one), one)
p.check(p.events(call("history", SHOT, "6", "--json")[0])[0] == runs[5], "one run in JSON")
_, error = call("history", SHOT, "8", status=2)
p.check("no run '8' in the history; it has 1 to 7" in error, error)
runs = p.events(call("history", FAILS, "--json")[0])[:-1]
p.check(runs[0]["failed_nodes"] == ["slow", "bad"] or runs[0]["failed_nodes"] == ["bad", "slow"], runs)
p.check(runs[0]["failed_task"] in ("bad", "slow") and runs[0]["skipped"] == 2 and runs[1]["status"] == 130, runs)

odd = scratch / "odd"
call("run", SHOT, "-p", "seed=3", "--only", "matte", "--frames", "1001", cache=odd)
[log] = (odd / "index/logs").iterdir()
log.write_text(log.read_text() + '{"when": 1e300, "parameters": {"a": 5}, "only": [7, null], "nodes": [{"node": 3, "why": []}]}\n')
table = call("history", SHOT, cache=odd)[0].splitlines()
p.check(len(table) == 3 and table[2].endswith("  a=?, only ?, only ?"), "a line of other kinds of values:", table)
p.check("asked        a=?, only ?, only ?\n" in call("history", SHOT, "2", cache=odd)[0], "one such run")
_, error = call("history", SHOT, " -9223372036854775808", status=2, cache=odd)
p.check("no run ' -9223372036854775808' in the history; it has 1 to 2" in error, error)

# -- explain
GROW = ["-p", "grow=5", "-p", "seed=3"]


def explain(task, *words, status=0, graph=SHOT):
    out, error = call("explain", graph, task, *words, status=status)
    return error if status else out


p.check(explain("matte", *GROW) == "matte@1001-1006 would run: erode_px 2 → 5\n", explain("matte", *GROW))
p.check(explain("plate", *GROW) == "plate@1001-1006 is cached\n", explain("plate", *GROW))
p.check(explain("out", *GROW) == "out@1001-1006 runs if what is above it really changes: input 'image' changed: "
        "view.soft@####\n", explain("out", *GROW))
p.check(explain("matte@1002-1004x2", *GROW) == "matte@1002 would run: erode_px 2 → 5\n"
        "matte@1004 would run: erode_px 2 → 5\n", explain("matte@1002-1004x2", *GROW))
text = explain("view.soft@1002", *GROW)
p.check(text.startswith("view.soft@1002 runs if what is above it really changes: input 'matte' changed: matte@1002\n"
                        "  matte@1002 would run: erode_px 2 → 5\n  plan key "), text)
text = explain("sheet", *GROW)
p.check(text.startswith("sheet runs if what is above it really changes: "), text)
p.check(explain("plate@1003", "-p", "seed=3").startswith("plate@1003 is cached\n  last ran "), "a cached one")
p.check(explain("cut", *GROW) == "cut@take1:1-3 would run: gain 2 → 5\ncut@take2:1-2 would run: gain 2 → 5\n",
        explain("cut", *GROW))
p.check(explain("cut@1:1", *GROW).startswith("cut@take2:1 would run: gain 2 → 5\n  plan key"), "one of a take")
p.check(explain("cut@take2:1", *GROW) == explain("cut@1:1", *GROW), "its name, below what reads it, or its number")
p.check(explain("cut@1", *GROW) == "cut@take1:1 would run: gain 2 → 5\ncut@take2:1 would run: gain 2 → 5\n", "both takes")
p.check(explain("actor@take2:2").startswith("actor@take2:2 is cached\n  last ran "), explain("actor@take2:2"))
p.check(explain("actor@take2:1-2") == "actor@take2:1 is cached\nactor@take2:2 is cached\n", explain("actor@take2:1-2"))
out, error = call("explain", SHOT, "plate@1005-1008")
p.check(len(out.splitlines()) == 2 and error == "warning: 2 of 4 frames asked for are left out, 'plate' has not: 1007-1008\n",
        out, error)
found = p.events(explain("cut@2-9", "--json"))
p.check(found[0] == {"event": "warning", "text": "6 of 8 frames asked for are left out, 'cut' has not: 4-9"}, found[0])
text = explain("spare@1001")
p.check(text.startswith("spare is not needed for the graph's outputs; were it asked for:\nspare@1001 would run: no result"),
        text)
(scratch / "out/matte.1003.exr").unlink()
p.check(explain("out", *GROW[2:], "-p", "grow=2").splitlines()[0] == "out@1001-1002,1004-1006 is cached", "a written file")
p.check("out@1003 would run: " in explain("out@1003", *GROW[2:], "-p", "grow=2"), "a written file is gone")
found = p.events(explain("view.soft@1001-1002", "--json", *GROW))
p.check([(e["task"], e["state"], e["needed"]) for e in found] ==
        [("view.soft@1001", "may_run", True), ("view.soft@1002", "may_run", True)], found)
found = p.events(explain("spare@1001", "--json"))
p.check(found[0]["state"] == "run" and not found[0]["needed"] and "plan key" in "".join(found[0]["text"]), found)
for slip, wanted in (("mate@1001", "no node 'mate'; did you mean 'matte'?"),
                     ("view", "'view' is not a node, but a template's use: it has view.soft"),
                     ("matte@7", "node 'matte' has no frame 7; it has 1001-1006"),
                     ("matte@x", "'matte@x' is not NODE@FRAMES"),
                     ("cut@take3:1", "node 'cut' has no such frames in a take 'take3'"),
                     ("sheet@1001", "node 'sheet' has no such frames")):
    p.check(wanted in explain(slip, status=2), slip, explain(slip, status=2))

# -- reasons: another file than last time, what was made above meanwhile, lists without what the key has besides
WHY = write("why.yaml", """
params: {from: {type: path, default: actor/take1.####.exr}, say: {type: string, default: one}}
nodes:
  read: {type: exr_read, path: $(from), frames: all, channels: [R]}
  soft: {type: matte_edit, matte: read, channel: R, feather_px: 1}
  said: {type: exec, command: [/bin/sh, -c, "echo $(say) > {out}"], output: x.txt}
outputs: [soft, said]
""")
OTHER = ["-p", "from=actor/take2.####.exr", "-p", "say=a, 1:b]"]


def why(node, *words):
    out, _ = call("explain", WHY, node, *words)
    return out.splitlines()[0]


time.sleep(1.1)  # the files are older than the run; times are whole seconds
call("run", WHY)
p.check(re.fullmatch(r"read@1 would run: \S*/actor/take2.0001.exr is not what was read last time "
                     r"\(digest \w{8} → \w{8}\)", why("read@1", *OTHER)), why("read@1", *OTHER))
p.check(why("said", *OTHER) == "said would run: command [/bin/sh, -c, echo one > {out}] → "
        "[/bin/sh, -c, echo a, 1:b] > {out}]", why("said", *OTHER))
time.sleep(1.1)
call("run", WHY, *OTHER, "--only", "read")
p.check(why("soft@1", *OTHER) == "soft@1 would run: input 'matte' changed: read@1", why("soft@1", *OTHER))

# -- who waits for another process says so
def begin(*words):
    return subprocess.Popen(p.command("run", WHY, "-p", "say=x; sleep 100", "--only", "said", "--json", *words), text=True,
                            env=p.environment(CACHE), cwd=scratch, stdout=subprocess.PIPE)


maker = begin()
while json.loads(maker.stdout.readline())["event"] != "start":
    pass
waiter = begin()
while (line := json.loads(waiter.stdout.readline()))["event"] != "warning":
    pass
p.check(line == {"event": "warning", "node": "said", "frame": None,
                 "text": f"waits for process {maker.pid} on this machine, which is making this"}, line)
for child in (waiter, maker):
    child.send_signal(signal.SIGINT)
    child.communicate()
    p.check(child.returncode == 130, child.returncode)

# -- frames that nothing has are told of, in each run; none at all is an error; a template's use is all of its nodes
asked = ["-p", "grow=2", "-p", "seed=3", "--only", "view", "--frames", "999-1002,7000"]
for _ in range(2):
    lines = p.events(call("run", SHOT, "--json", *asked)[0])
    told_of = [e["text"] for e in lines if e["event"] == "warning"]
    p.check(told_of == ["3 of 5 frames asked for are left out, nothing has them: 999-1000,7000"], told_of)
    p.check(p.cached(lines) == lines[-1]["cached"] == 6 and lines[-1]["ran"] == 0, lines)
_, error = call("run", SHOT, *asked)
p.check(error == "warning: 3 of 5 frames asked for are left out, nothing has them: 999-1000,7000\n", error)
out, error = call("plan", SHOT, *asked)
p.check("view.soft  2 frames     cached" in out and error.startswith("warning: 3 of 5 frames"), out, error)
lines = p.events(call("plan", SHOT, *asked, "--json")[0])
p.check(lines[0] == {"event": "warning", "text": told_of[0]}, lines[0])
_, error = call("run", SHOT, "--frames", "1-9", status=2)
p.check("node 'out' has none of the frames asked for, 1-9: it has 1001-1006\n  try: ask for some" in error, error)
lines = p.events(call("run", SHOT, "--json", *asked[:-1], "1001-1003")[0])
p.check("warning" not in {e["event"] for e in lines}, lines)

# -- a run's seconds are all of it: planning waits half a second for a remote cache that has nothing
class Slow(http.server.BaseHTTPRequestHandler):
    waits = [0.5]

    def do_GET(self):
        time.sleep(Slow.waits.pop() if Slow.waits else 0)
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
threading.Thread(target=server.serve_forever, daemon=True).start()
remote = ["--remote", f"http://127.0.0.1:{server.server_port}/c", "--remote-mode", "read"]
lines = p.events(call("run", SHOT, "--json", "-p", "grow=7", "-p", "seed=3", "--only", "matte", *remote)[0])
server.shutdown()
p.check(not Slow.waits and lines[-1]["seconds"] >= 0.5, "seconds leave out planning:", lines[-1])
kept = p.events(call("history", SHOT, "--json")[0])[-2]
p.check(kept["parameters"]["grow"] == "7" and kept["seconds"] >= 0.5, kept)
call("run", SHOT, "-p", "grow=2", "-p", "seed=3")

# -- the picture
call("run", FAILS, "--keep-going", status=1)
dot, _ = call("graph", SHOT, "--states", *GROW)
p.check(dot.count("may run 6 of 6") == 4 and ">6 cached<" in dot and ">not needed<" in dot, dot)
p.check('tooltip="matte: runs 6 of 6' in dot and "erode_px 2 → 5" in dot, dot)
p.check("25 of 36 tasks to run" in dot, dot)
failed, _ = call("graph", FAILS, "--states")
p.check("failed in the last run" in failed and failed.count("#b3261e") == 3, failed)
for picture in dot, failed:
    used = set(re.findall(r'fillcolor="(#\w+)"', picture))
    told_of = dict(re.findall(r'bgcolor="(#\w+)"[^>]*> </td><td>([^<]+)<', picture))
    p.check(used and used <= set(told_of) and len(set(told_of.values())) == 5, "colours without a word in the legend:", used, told_of)
    p.check("double frame: runs once" in picture and "heavy frame: an output" in picture, "the legend says nothing of frames")
plain, _ = call("graph", SHOT, cache=scratch / "none")
p.check("tooltip" not in plain and not (scratch / "none").exists(), "a plain picture needs no cache")
if shutil.which("dot"):
    svg, _ = call("graph", SHOT, "--states", "--svg", *GROW)
    p.check("<svg" in svg and 'xlink:title="matte: runs 6 of 6' in svg, svg[:2000])

# -- the time it takes: known from now on, also for another graph of these types, less or more of it
summary, _ = p.plan(scratch / SHOT, "-p", "seed=11", cache=CACHE)
p.check(summary["estimate_seconds"] > 0 and "at_least" not in summary, summary)
out, _ = call("plan", SHOT, "-p", "seed=11", "--threads", "2")
p.check(re.search(r"^\d+ of 36 tasks to run", out.splitlines()[-1]), out)
fewer, _ = p.plan(scratch / SHOT, "-p", "seed=11", "--only", "out", "--frames", "1001-1002", cache=CACHE)
p.check(fewer["estimate_seconds"] < summary["estimate_seconds"], fewer, summary)
summary, _ = p.plan(scratch / TAKES, cache=scratch / "other")
p.check("estimate_seconds" not in summary, summary)
other = write("other.yaml", f"""
nodes:
  head: {{{SYNTH}, frames: 1-9, identity: a, other: b, seed: 8}}
  file: {{type: exr_write, image: head, path: out/head.####.exr}}
outputs: [file]
""")
summary, _ = p.plan(scratch / other, cache=CACHE)
p.check(summary["estimate_seconds"] > 0 and "at_least" not in summary, summary)
print(f"{len(lines)} events, estimate {summary['estimate_seconds']:.3f} s")
