#!/usr/bin/env bash
# Packs what a GPU box needs that has Python with CUDA PyTorch, but no Docker and no network:
#   scripts/gpu-pack.sh OUT.tar.xz [PYTHON]    PYTHON: that box's, 3.12 where it is not said
# There, as root: tar xf OUT.tar.xz && reprise-gpu/run.sh (docs/gpu.md). At most 64 MiB, which is checked.
# Docker Engine 28.5 is Debian sid's: the oldest in Debian that hands on devices by CDI without more. It asks for
# glibc 2.34 only; runc, which would ask for more there, is this machine's own release's.
set -euo pipefail
cd "$(dirname "$0")/.."

out="$(realpath "${1:?usage: scripts/gpu-pack.sh OUT.tar.xz [PYTHON]}")"
python="${2:-3.12}"
venv="${VENV:-.venv}"
limit=$((64 << 20))
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
pack="$work/reprise-gpu"
mkdir -p "$pack"/{engine/bin,engine/lib,site,digits,project}

# Debian's packages, unpacked: NAME... from apt's own settings, or those of $APT_CONFIG.
unpack() { # FOLDER NAME...
    local folder="$1"
    shift
    mkdir -p "$folder/debs" "$folder/root"
    (cd "$folder/debs" && apt-get -o APT::Sandbox::User=root download -qq "$@" >/dev/null)
    for deb in "$folder"/debs/*.deb; do dpkg-deb -x "$deb" "$folder/root"; done
}

archive="$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -v security | head -n 1)"
[ -n "$archive" ] || { echo "apt knows no archive here" >&2; exit 5; }
mkdir -p "$work"/sid/{lists,cache/archives}/partial
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive sid main" >"$work/sid/sources.list"
cat >"$work/sid/apt.conf" <<CONF
Dir::State::Lists "$work/sid/lists";
Dir::State::status "/dev/null";
Dir::Etc::SourceList "$work/sid/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Cache "$work/sid/cache";
Acquire::Check-Valid-Until "false";
APT::Sandbox::User "root";
CONF
echo "fetching the engine" >&2
APT_CONFIG="$work/sid/apt.conf" apt-get update -qq >/dev/null
APT_CONFIG="$work/sid/apt.conf" unpack "$work/new" docker.io containerd
unpack "$work/own" runc tini libseccomp2 libsystemd0 libcap2 libgcrypt20 libgpg-error0 liblz4-1 liblzma5 libzstd1
cp "$work/new/root/usr/sbin/dockerd" "$work"/new/root/usr/bin/containerd{,-shim-runc-v2} "$pack/engine/bin"
cp "$(find "$work/own/root" -name runc -type f -path '*bin*' | head -n 1)" "$pack/engine/bin/runc"
cp "$(find "$work/own/root" -name tini-static -type f | head -n 1)" "$pack/engine/bin/docker-init"
find "$work/own/root" -name 'lib*.so.*' -path '*x86_64-linux-gnu*' -exec cp -L {} "$pack/engine/lib" \;

echo "fetching packages for Python $python" >&2
# Without uv, which only sets up development, and with what the rows' tests need.
chosen() { awk -v names=" $* " -v keep="$keep" '/^[^ #]/ { split($1, part, "=="); here = index(names, " " part[1] " ") > 0 } here == keep'; }
keep=0 chosen uv hatchling editables trove-classifiers <requirements/run.txt >"$work/site.txt"
keep=1 chosen pytest pytest-xdist hypothesis execnet iniconfig pluggy sortedcontainers <requirements/dev.txt >>"$work/site.txt"
"$venv/bin/python" -m pip --disable-pip-version-check --quiet install --target "$pack/site" --no-compile \
    --python-version "$python" --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 \
    --only-binary :all: --no-deps --require-hashes --requirement "$work/site.txt"

git archive HEAD -- orchestrator tests benchmarks jobs images scripts pyproject.toml Dockerfile.base |
    tar -x -C "$pack/project" --exclude=benchmarks/results
rm -rf "$pack/project/tests/integration/data"

# The example job without scikit-learn, whose packages alone are 60 MiB: its data, and the two functions it calls.
cp jobs/digits/train.py "$pack/digits"
grep -v '^requirements:' jobs/digits/job.yaml >"$pack/digits/job.yaml"
mkdir "$pack/digits/sklearn"
touch "$pack/digits/sklearn/__init__.py"
"$venv/bin/python" - "$pack/digits/sklearn" <<'PY'
import sys
from pathlib import Path

import numpy
from sklearn.datasets import load_digits

folder, digits = Path(sys.argv[1]), load_digits()
numpy.savez_compressed(folder / "digits.npz", images=digits.images, target=digits.target)
(folder / "datasets.py").write_text('''from pathlib import Path
from types import SimpleNamespace

import numpy


def load_digits():
    """The same arrays as scikit-learn's."""
    return SimpleNamespace(**numpy.load(Path(__file__).with_name("digits.npz")))
''')
(folder / "model_selection.py").write_text('''import numpy


def train_test_split(*arrays, test_size, random_state, stratify):
    """A split by a seed. It is another one than scikit-learn's."""
    order = numpy.random.RandomState(random_state).permutation(len(stratify))
    held = int(len(order) * test_size)
    return [array[part] for array in arrays for part in (order[held:], order[:held])]
''')
PY

cat >"$pack/run.sh" <<RUN
#!/bin/sh
# Starts the packed engine, makes a base of this box's Python, prints a table: docs/gpu.md. As root.
# PYTHON names the Python $python whose torch has CUDA; what stands after run.sh goes to gpu_bare.py.
set -eu
here="\$(cd "\$(dirname "\$0")" && pwd)"
python="\${PYTHON:-python3}"
"\$python" -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != "$python")' ||
    { echo "this pack is for Python $python, and \$python is another: PYTHON=..., or pack again" >&2; exit 2; }
exec "\$python" "\$here/project/benchmarks/gpu_bare.py" "\$@"
RUN
chmod +x "$pack/run.sh"
echo "compressing" >&2
XZ_OPT='-6 -T2' tar -cJf "$out" --owner=0 --group=0 -C "$work" reprise-gpu
size="$(stat --format %s "$out")"
[ "$size" -le "$limit" ] || { rm "$out"; echo "the pack has $size bytes, more than $limit" >&2; exit 1; }
echo "$out: $((size >> 20)) MiB"
