#!/usr/bin/env bash
# Counts the instructions of every hot part and of whole exchanges under callgrind, and fails where
# one has grown by more than 3 % over benches/instructions.baseline.json. `--help` says more.
set -euo pipefail
cd "$(dirname "$0")"
exec python3 -m rig.instructions "$@"
