"""Children that are pinned, measured, and ended by their process ids whatever happens."""

import ctypes
import os
import resource
import signal
import subprocess
import time
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# Two for each of 10,000 connections, and some more.
ENOUGH_FILES = 65_536
# From the kernel's include/uapi/linux/prctl.h.
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """Something without which there is nothing to measure; the text tells a person what to do."""


def raise_file_limit():
    """Lets this process and its children open as many files as the system allows, which is returned."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (ENOUGH_FILES, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            return limit
        except (OSError, ValueError):
            # Only an administrator may raise the hard limit.
            continue
    return hard


def end_on_signals():
    """Makes SIGTERM and SIGHUP unwind the stack as Ctrl-C does, so that children are ended.

    Ctrl-C too: a shell script's background jobs start with it ignored.
    """

    def unwind(number, _frame):
        raise SystemExit(128 + number)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, unwind)
    signal.signal(signal.SIGHUP, unwind)


def prepare(on):
    """To be run in a child before its program: pins it to the cores `on`."""
    os.sched_setaffinity(0, on)
    # Should this process be killed, its children do not outlive it.
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def cores():
    """The core for what is measured, and the one for load and upstream."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


def neutral_environment():
    """Ours, without what would configure the proxy otherwise than by default."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CXONE_")}


class Child:
    """One running program and its own children."""

    def __init__(self, process, name, log):
        self.process = process
        self.name = name
        self.log = log

    def pids(self):
        """The process and its children (nginx has a master and workers)."""
        own = self.process.pid
        children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        return [own, *map(int, children)]

    def cpu_seconds(self):
        """User and system time of all of them."""
        ticks = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS_PER_SECOND

    def resident_kib(self):
        """Resident memory of all of them, in KiB."""
        total = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1])
        return total

    def pin(self, cores_):
        """Moves every thread of it to these cores."""
        for pid in self.pids():
            for task in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(task), cores_)

    def is_running(self):
        return self.process.poll() is None

    def last_words(self):
        """The end of its log, for an error message."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])

    def stop(self):
        """Ends it, gently at first."""
        if self.is_running():
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Children:
    """All that was started; leaving the context ends it."""

    def __init__(self, directory):
        self.directory = Path(directory)
        # nginx's workers are nobody, and write long answers to files in there.
        self.directory.chmod(0o755)
        self.running = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # The last one first: proxies before their upstream.
        while self.running:
            self.running.pop().stop()

    def start(self, name, arguments, on, environment=None):
        """Starts a program on the cores `on`; its output goes to a log."""
        log = self.directory / f"{name}.log"

        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(argument) for argument in arguments],
                env={**neutral_environment(), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for us: we end the children in order.
                start_new_session=True,
                preexec_fn=lambda: prepare(on),
            )
        child = Child(process, name, log)
        self.running.append(child)
        return child

    def stop(self, child):
        """Ends one of them before the others."""
        self.running.remove(child)
        child.stop()


def wait_until(what, is_true, child, seconds=20):
    """Waits for something that `child` is about to do."""
    deadline = time.monotonic() + seconds
    while not is_true():
        if not child.is_running():
            raise Failed(f"{child.name} has ended instead of {what}:\n{child.last_words()}")
        if time.monotonic() > deadline:
            raise Failed(f"{child.name}: no {what} within {seconds} s:\n{child.last_words()}")
        time.sleep(0.05)
