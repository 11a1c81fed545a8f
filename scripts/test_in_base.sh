#!/usr/bin/env bash
# The tests that run PyTorch, inside the cpu base: scripts/test_in_base.sh [--always] [ARGUMENTS OF PYTEST]
# Without --always nothing is done where this machine's Python has PyTorch: pytest ran them with the others.
set -euo pipefail
cd "$(dirname "$0")/.."

venv="${VENV:-.venv}"
python="$venv/bin/python"
if [ "${1:-}" = --always ]; then
    shift
elif "$python" -c 'import torch' 2>/dev/null; then
    exit 0
fi

# REFERENCE EXECUTABLE VERSION PLATFORM SITE-PACKAGES of the cpu base on this box.
facts="$("$venv/bin/reprise" base list --json | "$python" -c '
import json, sys
(base,) = (one for one in json.load(sys.stdin)["bases"] if one["name"] == "cpu")
python = base["python"]
platform = python["machine"] + "-manylinux_" + python["glibc"].replace(".", "_")
print(base["reference"], python["executable"], python["version"], platform, python["purelib"])')"
read -r reference inside version platform purelib <<<"$facts"

# What the tests import, for the Python of the base, from the same lock as here.
packages="$venv/in-base"
locks="$(cat requirements/dev.txt jobs/digits/requirements.txt; echo "$version $platform")"
if [ "$locks" != "$(cat "$packages/locks" 2>/dev/null)" ]; then
    echo "installing what the tests need inside the cpu base"
    rm -rf "$packages"
    scripts/uv.sh pip install --quiet --target "$packages" --python-version "$version" --python-platform "$platform" \
        --no-deps --require-hashes --only-binary :all: \
        --requirement requirements/dev.txt --requirement jobs/digits/requirements.txt
    printf '%s\n' /packages /checkout >"$packages/tests.pth"
    echo "$locks" >"$packages/locks"
fi

echo "the tests that run PyTorch, inside the cpu base (Python $version)"
room="$(cd "$packages" && pwd)"
docker run --rm --init --network none --hostname tests --add-host tests:127.0.0.1 \
    --user "$(id -u):$(id -g)" --tmpfs /tmp:exec --workdir /checkout \
    --volume "$PWD:/checkout:ro" --volume "$room:/packages:ro" --volume "$room/tests.pth:$purelib/zz-tests.pth:ro" \
    --env HOME=/tmp --env PYTHONDONTWRITEBYTECODE=1 --env HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis \
    "$reference" "$inside" -m pytest -p no:cacheprovider -n auto -m "torch and not engine and not gpu" "$@"
