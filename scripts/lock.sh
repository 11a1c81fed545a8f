#!/usr/bin/env bash
# Lock every requirements file again: `make lock` after an edit of pyproject.toml or of a requirements.in.
# Needs a pip that finds PyTorch's CPU wheel. Indexes are what pip and uv are configured with; the
# locks name none.
set -euo pipefail
cd "$(dirname "$0")/.."

python="${PYTHON:-.venv/bin/python}"
uv="${UV:-$(dirname "$python")/uv}"
target=x86_64-manylinux_2_28
temporary="$(mktemp -d)"
trap 'rm -rf "$temporary"' EXIT

header() { # NAME
    printf '# Locked by scripts/lock.sh from %s; do not edit.\n' "$1"
}

compile() { # OUTPUT SOURCES-AND-OPTIONS...
    local output="$1"
    shift
    "$uv" pip compile --quiet --generate-hashes --only-binary :all: --no-header --no-annotate \
        --no-emit-index-url --no-emit-find-links --upgrade "$@" --output-file "$temporary/lock.txt"
    { header "$1"; cat "$temporary/lock.txt"; } >"$output"
    rm "$temporary/lock.txt"
    echo "$output: $(grep -c '==' "$output") packages"
}

# uv does not read pip's settings, so pip fetches the wheel that only some indexes have. One wheel for each
# Python of the OS images that have one; a Python for which there is none is said and left out.
for version in 3.11 3.12 3.13; do
    "$python" -m pip download --quiet --no-deps --only-binary :all: --python-version "$version" \
        --platform manylinux_2_28_x86_64 --dest "$temporary/wheels" --requirement <(grep '^torch' images/cpu/requirements.in) ||
        echo "no CPU wheel of PyTorch for Python $version" >&2
done

compile images/cpu/requirements.txt images/cpu/requirements.in \
    --python-version 3.11 --python-platform $target --find-links "$temporary/wheels"
# For the oldest Python of the OS images: a lock has the hashes of a release's wheels for every Python, so that it
# serves the newer ones as well (Ubuntu 24.04's 3.12).
compile images/cuda/requirements.txt images/cuda/requirements.in --python-version 3.11 --python-platform $target

# PyTorch comes into the development environment as the cpu base's own wheels, so it is left out here, and
# what both have must be of one version.
echo torch >"$temporary/excludes.txt"
compile requirements/run.txt pyproject.toml requirements/build.in --extra web --universal --python-version 3.11 \
    --constraints images/cpu/requirements.txt
compile requirements/dev.txt pyproject.toml requirements/build.in --extra dev --universal --python-version 3.11 \
    --constraints images/cpu/requirements.txt --constraints requirements/run.txt --excludes "$temporary/excludes.txt"

compile requirements/ray.txt requirements/ray.in --python-version 3.11 --python-platform $target
compile requirements/crate.txt requirements/crate.in --python-version 3.11 --python-platform $target
compile requirements/frames.txt requirements/frames.in --python-version 3.11 --python-platform $target \
    --constraints images/cpu/requirements.txt
