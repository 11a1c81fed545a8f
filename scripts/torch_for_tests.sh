#!/usr/bin/env bash
# PyTorch, as in the cpu base, into the virtual environment, where its locked wheel fits: for tests outside a container.
# Where it does not, they run inside the base (scripts/test_in_base.sh), so that is said and is no failure.
set -euo pipefail
cd "$(dirname "$0")/.."

venv="${VENV:-.venv}"
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
if ! scripts/uv.sh pip install --quiet --compile-bytecode --python "$venv" --no-deps --require-hashes --only-binary :all: \
    --requirement images/cpu/requirements.txt --requirement jobs/digits/requirements.txt >"$log" 2>&1; then
    echo "$("$venv/bin/python" --version) gets no PyTorch here, so the tests that run it are run inside the cpu base; uv says:"
    sed 's/^/    /' "$log"
fi
