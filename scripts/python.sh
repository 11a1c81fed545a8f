#!/usr/bin/env bash
# Print a Python that can make the virtual environment: 3.11 or newer, with venv. Installs Debian's where there
# is none. $PYTHON, if set, is the one to use. 3.11 comes first: PyTorch's wheel for the tests is locked for it.
set -euo pipefail
cd "$(dirname "$0")/.."

good() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
complete() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

find_python() {
    local candidate
    for candidate in python3.11 python3 python3.12 python3.13 python3.14; do
        if good "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

python="${PYTHON:-}"
if [ -n "$python" ]; then
    good "$python" || { echo "PYTHON=$python is not Python 3.11 or newer" >&2; exit 2; }
elif ! python="$(find_python)"; then
    scripts/packages.sh "Python 3.11 or newer" python3 python3-venv >&2
    python="$(find_python)" || { echo "no Python 3.11 or newer here; set PYTHON to one" >&2; exit 5; }
fi
if ! complete "$python"; then
    version="$("$python" -c 'import sys; print("python3.%d" % sys.version_info[1])')"
    scripts/packages.sh "$python has no venv" "$version-venv" >&2
    complete "$python" || { echo "$python cannot make virtual environments; set PYTHON to one that can" >&2; exit 5; }
fi
echo "$python"
