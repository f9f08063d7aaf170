"""Counts instructions, which a busy machine does not change, and compares them with a baseline.

The parts are those of benches/parts; each count is the difference of a longer and a shorter run,
divided by how many more times the longer one did the work, so that what a start costs falls out.

An exchange is one request on a kept-alive connection through the real program, which alone runs
under callgrind. It is counted between two moments of one process: a start gathers entropy, and how
long that takes is chance by design. Answers and requests come late enough that the proxy always
sleeps before each: a race would be won now and then.
"""

import argparse
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import programs, systems
from .processes import Children, Failed, cores, end_on_signals, wait_until

BASELINE = programs.ROOT / "benches/instructions.baseline.json"
GROWTH = 0.03
# How often a part is done in the shorter and in the longer run.
PART_TIMES = (200, 5200)
# Exchanges before counting and while counting.
WARM_UP = 50
EXCHANGES_COUNTED = 1000
# Longer than the proxy takes, slow as it is there.
PAUSE = 0.002
CONTENT = b"x" * 1024
FIELDS = b"Host: localhost\r\nUser-Agent: legacy/1.0\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\n"
GET = b"GET /soon HTTP/1.1\r\n" + FIELDS + b"\r\n"
POST = b"POST /soon HTTP/1.1\r\n" + FIELDS + b"Content-Length: 1024\r\n\r\n" + CONTENT
EXCHANGES = {"exchange_get_plain": (False, GET), "exchange_get_tls": (True, GET), "exchange_post_tls": (True, POST)}


def main():
    options = parse()
    end_on_signals()
    if shutil.which("valgrind") is None:
        programs.install("valgrind")
    counts = {}
    with tempfile.TemporaryDirectory(prefix="instructions") as directory, Children(directory) as children:
        if options.only != "exchanges":
            counts |= count_parts(built_bench(options.bench_profile), Path(directory))
        if options.only != "parts":
            built = programs.build(options.profile, proxy=options.ours is None)
            counts |= count_exchanges(children, built, options.ours or built / "cxone-proxy")
    if options.save:
        save(counts)
        return 0
    return compare(counts)


def parse():
    parser = argparse.ArgumentParser(
        prog="instructions.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--save", action="store_true", help="make what is counted the baseline, instead of comparing")
    parser.add_argument("--only", choices=["parts", "exchanges"])
    parser.add_argument("--ours", type=Path, help="a built cxone-proxy instead of this tree's")
    parser.add_argument("--profile", default="dist", help="cargo profile of the proxy")
    parser.add_argument("--bench-profile", default="bench", help="cargo profile of the parts")
    return parser.parse_args()


def built_bench(profile):
    """The path of the built bench."""
    command = ["cargo", "bench", "--locked", "--no-run", "--bench", "instructions", "--profile", profile]
    programs.say("building: " + " ".join(command))
    command += ["--message-format", "json-render-diagnostics"]
    outcome = subprocess.run(command, cwd=programs.ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if outcome.returncode != 0:
        raise Failed("the build failed")
    for message in map(json.loads, outcome.stdout.splitlines()):
        if message.get("executable") and message["target"]["name"] == "instructions":
            return message["executable"]
    raise Failed("cargo has named no executable")


def callgrind(out):
    return ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]


def collected(out):
    """The instructions of all threads."""
    found = re.search(r"^(?:totals|summary): (\d+)", out.read_text(), re.MULTILINE)
    if not found:
        raise Failed(f"callgrind has left no totals in {out}")
    return int(found.group(1))


def count_parts(bench, directory):
    """Instructions of each part, done once."""
    names = subprocess.check_output([bench], text=True).split()
    counts = {}
    for name in names:
        totals = []
        for times in PART_TIMES:
            out = directory / f"{name}-{times}"
            command = [*callgrind(out), bench, name, str(times)]
            outcome = subprocess.run(command, capture_output=True, text=True, check=False)
            if outcome.returncode != 0:
                raise Failed(f"{name} failed under callgrind:\n{outcome.stderr}")
            totals.append(collected(out))
        counts[name] = per_time(totals, PART_TIMES)
        programs.say(f"{name}: {counts[name]}")
    return counts


def per_time(totals, times):
    return round((totals[1] - totals[0]) / (times[1] - times[0]))


def count_exchanges(children, built, binary):
    """Instructions of each kind of exchange, everything on that is on by default."""
    core, load_core = cores()
    upstream = systems.Upstream.start(children, built / "examples/upstream", load_core)
    counts = {}
    for name, (secure, request) in EXCHANGES.items():
        counts[name] = count_exchange(children, upstream, core, binary, secure, request)
        programs.say(f"{name}: {counts[name]}")
    return counts


def count_exchange(children, upstream, core, binary, secure, request):
    """Instructions of one exchange through a proxy that is warm."""
    port = systems.free_port()
    out = children.directory / f"callgrind-{port}"
    arguments, environment = systems.Ours("proxy", binary).command(None, port, upstream, secure)
    child = children.start(f"proxy-{port}", [*callgrind(out), *arguments], {core}, environment)
    wait_until("answering", lambda: systems.ask(port) == (200, 1024), child, 120)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        exchange(connection, request, WARM_UP)
        dump(child)
        exchange(connection, request, EXCHANGES_COUNTED)
        dump(child)
    children.stop(child)
    # A dump starts counting anew, so the second has what came between the two.
    return round(collected(out.with_name(f"{out.name}.2")) / EXCHANGES_COUNTED)


def dump(child):
    """Has callgrind write down what it has counted since it last did."""
    command = ["callgrind_control", "--dump", str(child.process.pid)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if outcome.returncode != 0 or "OK" not in outcome.stdout:
        raise Failed(f"callgrind does not obey: {outcome.stdout}{outcome.stderr}")


def exchange(connection, request, times):
    """Requests one after the other."""
    for _ in range(times):
        connection.sendall(request)
        receive(connection)
        time.sleep(PAUSE)


def receive(connection):
    """One answer of a kilobyte."""
    received = b""
    while b"\r\n\r\n" not in received or len(received.split(b"\r\n\r\n", 1)[1]) < 1024:
        piece = connection.recv(16 * 1024)
        if not piece:
            raise Failed("the proxy has closed the connection")
        received += piece
    if not received.startswith(b"HTTP/1.1 200 "):
        raise Failed(f"the proxy answered {received[:100]!r}")


def toolchain():
    return subprocess.check_output(["rustc", "--version"], cwd=programs.ROOT, text=True).strip()


def save(counts):
    """Replaces what was counted and keeps the rest."""
    known = json.loads(BASELINE.read_text())["instructions"] if BASELINE.exists() else {}
    document = {"toolchain": toolchain(), "instructions": known | counts}
    BASELINE.write_text(json.dumps(document, indent=2) + "\n")
    programs.say(f"saved: {BASELINE}")


def compare(counts):
    """Prints each count beside its baseline; 1 where one has grown too much or has no baseline."""
    if not BASELINE.exists():
        raise Failed("there is no baseline yet: run with --save")
    baseline = json.loads(BASELINE.read_text())
    if baseline["toolchain"] != toolchain():
        programs.say(f"the baseline is of {baseline['toolchain']}; other compilers count otherwise")
    failed = False
    for name, count in counts.items():
        before = baseline["instructions"].get(name)
        if before is None:
            failed = True
            print(f"{name:22} {count:>9}   no baseline: run with --save")
            continue
        growth = count / before - 1
        grown = growth > GROWTH
        failed |= grown
        print(f"{name:22} {count:>9}   baseline {before:>9}   {growth:+7.1%}{'   GROWN' if grown else ''}")
    if failed:
        print(f"\nMore than {GROWTH:.0%} need a reason: find it, or say it and run with --save.")
    return int(failed)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as failure:
        sys.exit(f"instructions: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
