"""Load on a proxy, and what it costs."""

import json
import re
import socket
import subprocess
import time
from dataclasses import dataclass

from . import programs
from .processes import Failed, prepare

GET = b"GET /1k HTTP/1.1\r\nHost: localhost\r\n"


@dataclass
class Outcome:
    """What one run of load came to."""

    good: int
    bad: int
    seconds: float
    cpu_seconds: float = 0.0

    @property
    def cpu_us(self):
        """CPU time of the proxy for each good request, in microseconds; nothing where none was good."""
        return self.cpu_seconds * 1e6 / self.good if self.good else None

    @property
    def rate(self):
        """Good requests in a second."""
        return self.good / self.seconds


def on_core(core, arguments):
    """Runs a load generator on one core to its end and returns what it printed."""
    outcome = subprocess.run(
        [str(argument) for argument in arguments],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: prepare({core}),
    )
    if outcome.returncode != 0:
        raise Failed(f"{arguments[0]} failed: {outcome.stderr.strip() or outcome.stdout.strip()}")
    return outcome.stdout


def measured(child, load):
    """Runs `load` and adds what it cost `child`."""
    before = child.cpu_seconds()
    outcome = load()
    outcome.cpu_seconds = child.cpu_seconds() - before
    return outcome


def wrk(port, path, *, connections, seconds, core, authorization=None, script=None, threads=1):
    """A closed loop: each connection asks again when it has been answered."""
    arguments = [programs.find("wrk"), f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s"]
    arguments += ["-H", f"Authorization: {authorization}"] if authorization else []
    arguments += ["-s", script] if script else []
    text = on_core(core, [*arguments, f"http://127.0.0.1:{port}{path}"])
    found = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m)", text)
    if not found:
        raise Failed(f"wrk has said nothing of requests:\n{text}")
    unit = {"ms": 0.001, "s": 1.0, "m": 60.0}[found.group(3)]
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    bad = int(refused.group(1)) if refused else 0
    good = int(found.group(1)) - bad
    bad += sum(map(int, broken.groups())) if broken else 0
    return Outcome(good, bad, float(found.group(2)) * unit)


def h2load(port, path, *, connections, streams, seconds, core):
    """HTTP/2 with prior knowledge."""
    arguments = [programs.find("h2load"), "-t1", f"-c{connections}", f"-m{streams}", f"-D{seconds}"]
    text = on_core(core, [*arguments, f"http://127.0.0.1:{port}{path}"])
    found = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", text)
    broken = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", text)
    if not found or not broken:
        raise Failed(f"h2load has said nothing of requests:\n{text}")
    good, *bad = map(int, found.groups())
    return Outcome(good, sum(bad) + sum(map(int, broken.groups())), seconds)


def ab(port, path, *, requests, concurrency, core):
    """A new connection for each request."""
    arguments = [programs.find("ab"), "-q", f"-n{requests}", f"-c{concurrency}"]
    text = on_core(core, [*arguments, f"http://127.0.0.1:{port}{path}"])
    complete = int(re.search(r"Complete requests:\s+(\d+)", text).group(1))
    failed = int(re.search(r"Failed requests:\s+(\d+)", text).group(1))
    refused = re.search(r"Non-2xx responses:\s+(\d+)", text)
    bad = failed + (int(refused.group(1)) if refused else 0)
    seconds = float(re.search(r"Time taken for tests:\s+([\d.]+)", text).group(1))
    return Outcome(complete - bad, bad, seconds)


def open_loop(binary, port, path, *, rate, seconds, core, authorization=None):
    """Requests of a Poisson process: percentiles of latency in microseconds, and what went wrong."""
    arguments = [binary, f"127.0.0.1:{port}", path, rate, seconds]
    return json.loads(on_core(core, arguments + ([authorization] if authorization else [])))


class IdleConnections:
    """Connections that have been served once each and then stay."""

    def __init__(self, port, count, authorization=None):
        field = f"Authorization: {authorization}\r\n" if authorization else ""
        self.request = GET + field.encode() + b"\r\n"
        self.sockets = []
        try:
            for _ in range(count):
                connection = socket.create_connection(("127.0.0.1", port), timeout=30)
                self.sockets.append(connection)
                self.exchange(connection)
        except OSError as error:
            self.close()
            raise Failed(f"connection {len(self.sockets)} of {count}: {error}") from error

    def exchange(self, connection):
        connection.sendall(self.request)
        received = b""
        while b"\r\n\r\n" not in received or len(received.split(b"\r\n\r\n", 1)[1]) < 1024:
            piece = connection.recv(16 * 1024)
            if not piece:
                raise OSError(f"closed after {received[:100]!r}")
            received += piece
        if not received.startswith(b"HTTP/1.1 200 "):
            raise OSError(f"answered {received[:100]!r}")

    def close(self):
        for connection in self.sockets:
            connection.close()


def idle_kib(started, count, settle):
    """KiB of resident memory that each idle connection costs, once things have settled."""
    # What the first connection costs is the program's start, not the connection's.
    first = IdleConnections(started.port, 50, started.authorization)
    first.close()
    time.sleep(1)
    before = started.child.resident_kib()
    connections = IdleConnections(started.port, count, started.authorization)
    try:
        time.sleep(settle)
        return (started.child.resident_kib() - before) / count
    finally:
        connections.close()
