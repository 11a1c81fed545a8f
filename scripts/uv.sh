#!/usr/bin/env bash
# uv, with what pip is configured with on this machine: scripts/uv.sh pip install …
# $UV is the one to use; else the one that requirements/run.txt locks is put into .uv, by pip, on first use.
set -euo pipefail
cd "$(dirname "$0")/.."

bootstrap=.uv

# Any Python that has venv will do here: uv finds or brings the one for Reprise.
capable() { "$1" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 8))' >/dev/null 2>&1; }
find_capable() {
    local candidate
    for candidate in "${PYTHON:-python3}" python3 python3.11 python3.12 python3.13 python3.14; do
        if capable "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

locked="$(awk '/^[^ ]/ { ours = /^uv==/ } ours' requirements/run.txt)" # its version and hashes
if [ ! -x "$bootstrap/bin/python" ] || [ "$locked" != "$(cat "$bootstrap/locked" 2>/dev/null)" ]; then
    if ! python="$(find_capable)"; then
        scripts/packages.sh "to make virtual environments" python3 python3-venv >&2
        python="$(find_capable)" || { echo "no Python here can make virtual environments: install Python's venv" >&2; exit 5; }
    fi
    echo "making $bootstrap with $("$python" --version)" >&2
    "$python" -m venv --clear "$bootstrap"
    [ -n "${UV:-}" ] || "$bootstrap/bin/python" -m pip --disable-pip-version-check --quiet --quiet install \
        --require-hashes --no-deps --only-binary :all: --requirement <(echo "$locked") >&2
    echo "$locked" >"$bootstrap/locked"
fi

settings="$("$bootstrap/bin/python" scripts/pip_settings.py)"
options=()
while IFS='=' read -r name value; do
    if [ "$name" = REPRISE_NO_INDEX ]; then options=(--no-index); else export "$name=$value"; fi
done <<<"$settings"

uv="${UV:-$bootstrap/bin/uv}"
[ "${1:-}" = pip ] || options=()
exec "$uv" "$@" "${options[@]}"
