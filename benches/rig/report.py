"""What was measured, as tables for people and files."""

import datetime
import os
import platform
import re
import statistics
from pathlib import Path


def facts():
    """The machine and the day."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpu": model.group(1) if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": f"{platform.system()} {platform.release().split('-')[0]}",
        "load_before": round(os.getloadavg()[0], 2),
    }


def in_words(known):
    """The facts in one line."""
    cores = f"{known['cores']} core" + ("s" if known["cores"] != 1 else "")
    return f"{known['date']}, {known['cpu']}, {cores}, {known['kernel']}"


def median(values):
    """The middle of what was measured; nothing of nothing."""
    return statistics.median(values) if values else None


def number(value, digits=1):
    """For a cell; an empty one where nothing was measured."""
    return "" if value is None else f"{value:.{digits}f}"


def markdown(head, rows):
    """A table whose first column is text and whose others are numbers."""
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines)
