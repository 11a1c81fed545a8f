#!/usr/bin/env bash
# One conformance suite on each engine in turn: this machine's own, and those that engine.sh starts from Debian's
# newer suites. REPRISE_ENGINE_NAMES="own podman-5.8" picks some, `run.sh -k spine` some of the tests.
set -euo pipefail
cd "$(dirname "$0")/../.."

[ "$(id -u)" = 0 ] || { echo "Only root can start engines with namespaces of their own." >&2; exit 5; }
export REPRISE_ENGINES="${REPRISE_ENGINES:-/var/tmp/reprise-engines}" OMP_NUM_THREADS=1
mkdir -p "$REPRISE_ENGINES/seen"
exec "${VENV:-.venv}/bin/python" -m pytest -n 0 tests/engines --basetemp "$REPRISE_ENGINES/seen/tmp" "$@"
