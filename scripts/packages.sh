#!/usr/bin/env bash
# Install the distribution's packages that are missing: scripts/packages.sh REASON PACKAGE...
# Does nothing where all are there. Where systemd runs, a package may start its service, as everywhere.
set -euo pipefail

reason="$1"
shift
installed() { [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing=()
if command -v dpkg-query >/dev/null; then
    for package in "$@"; do
        installed "$package" || missing+=("$package")
    done
else
    echo "$reason: this is no Debian or Ubuntu; install what gives you: $*" >&2
    exit 5
fi
[ "${#missing[@]}" -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ]; then
    echo "$reason: not installed, and only root can: sudo apt-get install ${missing[*]}" >&2
    exit 5
fi
exec 9<"$0"
flock 9 # make may run two of these side by side; apt-get does not wait. A service that it starts gets no 9
echo "installing ${missing[*]} ($reason)"
export DEBIAN_FRONTEND=noninteractive
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null 9<&-; then
    tail -n 15 "$log" >&2
    echo "$reason: apt-get could not install ${missing[*]}; the lines above say why" >&2
    exit 5
fi
