#!/usr/bin/env bash
# Print a Python of 3.11 to 3.14 for the virtual environment. $PYTHON, if set, is the one to use. 3.11 comes first,
# since PyTorch's wheel for the tests is locked for it; then what the system has; then one that uv brings.
set -euo pipefail
cd "$(dirname "$0")/.."

known='>=3.11,<3.15'
brought=3.11

find_python() { scripts/uv.sh python find --system --no-python-downloads "$1" 2>/dev/null; }

if [ -n "${PYTHON:-}" ]; then
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 ||
        { echo "PYTHON=$PYTHON is not Python 3.11 or newer" >&2; exit 2; }
    command -v "$PYTHON"
    exit 0
fi
scripts/uv.sh --version >/dev/null # made here, where its messages are seen
if find_python 3.11 || find_python "$known"; then exit 0; fi
echo "no Python of 3.11 to 3.14 on this machine: uv fetches $brought" >&2
scripts/uv.sh python install --no-progress "$brought" >&2 ||
    { echo "uv could not fetch it (its words are above): install a Python of 3.11 to 3.14, or set PYTHON to one" >&2; exit 5; }
scripts/uv.sh python find "$brought"
