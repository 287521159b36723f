#!/usr/bin/env python3
"""The cache and the results on a file system that keeps NFS's rules (nfsish.c), mounted twice as by two hosts: no O_TMPFILE, no
locks, no flags of rename, stale look-ups, close and fsync that fail, requests that were done but report an error. Results are
right, or one error names the file and the next run heals. KILLS, STALE (seconds of staleness) and SKIPS (how many calls of
each kind are made to fail) set how much."""
import errno
import fcntl
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import pipeline as p
from faults import Case, check_clean, number, whole_lines

KILLS, STALE, SKIPS, SEED = number("KILLS", 4), float(os.environ.get("STALE", 1)), number("SKIPS", 1), number("SEED", 1)
NFSISH = pathlib.Path(p.BINARY).parent / "tests/nfsish"
scratch = p.fresh_scratch()
generator = random.Random(SEED)
control = scratch / "control"


def cannot():
    if not NFSISH.exists():
        return "the build has no nfsish (libfuse3-dev)"
    if not os.access("/dev/fuse", os.W_OK):
        return "no /dev/fuse to mount a test file system with"
    if not shutil.which("fusermount3"):
        return "no fusermount3 (fuse3)"
    return None


class Host:
    """A mount of the folder all hosts share, with a local state of its own and, where allowed, a host name of its own."""

    def __init__(self, name):
        self.name, self.mount, self.state = name, scratch / name, scratch / f"state-{name}"
        self.mount.mkdir()
        self.process = subprocess.Popen([NFSISH, scratch / "shared", self.mount, str(STALE), control], stderr=subprocess.PIPE)
        while not os.path.ismount(self.mount):
            if self.process.poll() is not None:
                text = self.process.stderr.read().decode().strip()
                raise OSError(f"mounting is not allowed here ({text})")
            time.sleep(0.01)

    def unmount(self):
        subprocess.run(["fusermount3", "-uz", self.mount], check=False)
        self.process.wait(10)

    def environment(self, cache):
        return {**p.environment(self.mount / cache), "XDG_STATE_HOME": str(self.state)}

    def words(self, verb, *more):
        renamed = ["unshare", "--uts", "sh", "-c", f'hostname {self.name} && exec "$@"', "-"] if RENAMED else []
        return [*renamed, *p.command(verb, *more)]

    def start(self, cache, output, *more):
        """Its events go to the file `output`."""
        return self.begin(cache, output, "--json", *more)

    def begin(self, cache, output, *more):
        words = [*case.words("unused"), "-p", f"out={self.mount / 'out'}", *more]
        return subprocess.Popen(self.words("run", *words), env=self.environment(cache), stdout=open(output, "wb"),
                                stderr=subprocess.PIPE, start_new_session=True)

    def run(self, cache, *more):
        """(exit status, what it said)"""
        child = self.begin(cache, scratch / f"{self.name}.json", *more)
        _, said = child.communicate(timeout=120)
        return child.returncode, said.decode()

    def run_well(self, cache, *context):
        """The events of a run that must end well with right results."""
        status, said = self.run(cache, "--json")
        p.check(status == 0, "exit", status, said, (scratch / f"{self.name}.json").read_text()[-1000:], *context)
        check_results(*context)
        return whole_lines(scratch / f"{self.name}.json")

    def verify(self, cache, *context):
        done = subprocess.run(self.words("cache", "verify"), env=self.environment(cache), capture_output=True, text=True)
        p.check(done.returncode == 0 and not done.stderr, done.stdout, done.stderr, *context)


def check_results(*context):
    there = {name: digest for name, digest in p.digests(scratch / "shared/out").items() if not name.endswith(".tmp")}
    wrong = [name for name in set(there) | set(case.reference) if there.get(name) != case.reference.get(name)]
    p.check(not wrong, "other files:", wrong, *context)


def clear(cache):
    for folder in (scratch / "shared" / cache, scratch / "shared/out"):
        shutil.rmtree(folder, ignore_errors=True)
    time.sleep(1.1 * STALE)  # until the mounts know


def arrange(line):
    control.write_text(line + "\n")


def refused(call, *numbers):
    try:
        call()
    except OSError as error:
        return error.errno in numbers
    return False


def keeps_the_rules(a, b):
    folder = os.open(a.mount, os.O_RDONLY)
    with open(a.mount / "file", "w") as file:
        p.check(refused(lambda: fcntl.flock(file, fcntl.LOCK_EX), errno.ENOLCK), "flock works")
        p.check(refused(lambda: fcntl.lockf(file, fcntl.LOCK_EX), errno.ENOLCK), "fcntl locks work")
    p.check(refused(lambda: os.open(".", os.O_TMPFILE | os.O_WRONLY, dir_fd=folder), errno.EOPNOTSUPP, errno.EISDIR), "O_TMPFILE")
    os.close(folder)
    p.check(not (b.mount / "late").exists(), "a file before its time")
    (a.mount / "late").write_text("here")
    p.check(not (b.mount / "late").exists(), "a missing name is not remembered")
    time.sleep(1.1 * STALE)
    p.check((b.mount / "late").read_text() == "here", "a missing name is remembered for ever")
    arrange(f"link {errno.EEXIST} done 0 1 linked")
    p.check(refused(lambda: os.link(a.mount / "late", a.mount / "linked"), errno.EEXIST), "no error was arranged")
    p.check((scratch / "shared/linked").exists(), "the link was not made")
    arrange(f"flush {errno.EDQUOT} fail 0 1 late")

    def write():
        with open(a.mount / "late", "w") as file:
            file.write("x")
    p.check(refused(write, errno.EDQUOT), "close did not fail")
    write()


def two_hosts(a, b):
    clear("cache")
    lines = a.run_well("cache")
    p.check(len(p.ran(lines)) == case.tasks, "a first run", lines[-1])
    p.check(not p.ran(a.run_well("cache")), "the same host runs it again")
    time.sleep(1.1 * STALE)
    again = p.ran(b.run_well("cache"))
    p.check(not again, "the other host runs", again)
    b.verify("cache")
    print(f"two hosts: {case.tasks} tasks run by the first, 0 by the second")


def together(a, b, tries):
    """4 processes on 2 mounts that have just looked for everything: within a host nothing is made twice; between them what one
    cannot see of the other yet."""
    twice = 0
    for _ in range(tries):
        clear("many")
        outputs = [scratch / f"many{i}.json" for i in range(4)]
        hosts = [a, a, b, b]
        children = [host.start("many", output, "--threads", "2") for host, output in zip(hosts, outputs)]
        for child in children:
            _, said = child.communicate(timeout=120)
            p.check(child.returncode == 0, "exit", child.returncode, said.decode())
        check_results("4 processes on 2 hosts")
        for pair in (outputs[:2], outputs[2:]):
            made = [task for output in pair for task in p.ran(whole_lines(output))]
            p.check(len(made) == len(set(made)), "made twice on one host:", {t for t in made if made.count(t) > 1})
        twice += sum(len(p.ran(whole_lines(output))) for output in outputs) - case.tasks
        time.sleep(1.1 * STALE)
        b.verify("many")
        p.check(not p.ran(b.run_well("many")), "made again afterwards")
    print(f"4 processes on 2 hosts, {tries} tries: all end well, {twice} of {tries * case.tasks} tasks made twice")


def killed(a):
    kills, begun = 0, time.monotonic()
    clear("killed")
    a.run_well("killed")
    seconds = time.monotonic() - begun
    while kills < KILLS:
        clear("killed")
        made = set()
        for _ in range(2):
            output = scratch / "killed.json"
            child = a.start("killed", output, "--threads", "2")
            try:
                child.wait(generator.uniform(0, seconds))
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                kills += 1
            child.communicate()
            made |= p.ran(whole_lines(output))
            a.verify("killed", "after a kill")
        again = p.ran(a.run_well("killed", "after kills")) & made
        p.check(not again, "made again:", again)
    print(f"{kills} kills: 0 wrong, 0 made again")


def faults(a):
    """Calls that fail, the first, the second and so on of each kind; and calls that only say so."""
    kinds = [(operation, number, "fail", text) for operation in ("flush", "fsync", "write") for text in ("/cache/", "shared/out/")
             for number in (errno.EIO, errno.ENOSPC, errno.EDQUOT)]
    kinds += [(operation, errno.EIO, "fail", text) for operation in ("link", "rename") for text in ("/cache/", "shared/out/")]
    kinds += [("link", errno.EEXIST, "done", "/cache/"), ("rename", errno.ENOENT, "done", "/cache/"),
              ("rename", errno.ENOENT, "done", "shared/out/"), ("unlink", errno.ENOENT, "done", "/cache/"),
              ("open", errno.ESTALE, "fail", "/cache/")]
    tried = said_so = 0
    troubles = []
    for operation, number_of, how, text in kinds:
        for i in range(SKIPS):
            for folder in ("cache", "out"):
                shutil.rmtree(a.mount / folder, ignore_errors=True)
            what = f"{operation} {number_of} {how} {i * 7 + generator.randrange(7) if i else 0} 1 {text}"
            try:
                arrange(what)
                happened, failed = disturbed(a, how)
                tried += happened
                said_so += failed
                a.run_well("cache", "afterwards")
                a.verify("cache", "afterwards")
            except SystemExit as error:
                troubles.append(f"{what}: {error}")
    print(f"{tried} calls made to fail: {said_so} times an error that names the file, otherwise healed; {len(troubles)} did harm")
    p.check(not troubles, "\n".join(troubles[:number("SHOW", 5)]))


def disturbed(a, how):
    """A run in which a call fails, or only says so; returns whether that came to pass and whether the run failed."""
    status, said = a.run("cache", "--threads", "2")
    happened = control.read_text().split()[4] == "0"
    control.unlink()
    if status == 0 or not happened or how == "done":
        p.check(status == 0, "exit", status, said)
        check_results()
    else:
        # A program run by exec says what it likes of its own files.
        p.check(0 < status < 128 and said.count("error: ") == 1 and
                (str(a.mount) in said.split("error: ")[1] or "'sh' ended" in said),
                "exit", status, "the error names no file:", said)
    return happened, status != 0


reason = cannot()
case = None if reason else Case(scratch, frames=4)
RENAMED = subprocess.run(["unshare", "--uts", "sh", "-c", "hostname a"], capture_output=True).returncode == 0
hosts = []
try:
    if not reason:
        (scratch / "shared").mkdir()
        hosts = [Host("a"), Host("b")]
except OSError as error:
    reason = str(error)
if reason:
    print("skipped:", reason)
    sys.exit(0)
try:
    keeps_the_rules(*hosts)
    two_hosts(*hosts)
    together(*hosts, number("TRIES", 2))
    killed(hosts[0])
    faults(hosts[0])
finally:
    for host in hosts:
        host.unmount()
