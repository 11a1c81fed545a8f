#!/usr/bin/env bash
# Make sure that a container engine answers. Uses the one that does; else installs the distribution's Docker
# Engine and starts it. Stops nothing, ever. Run as often as you like.
set -euo pipefail
cd "$(dirname "$0")/.."

python="${VENV:-.venv}/bin/python"
log=/var/log/reprise-dockerd.log
patience=90 # seconds for the engine to come up

# Asked through Reprise's own door, so that DOCKER_HOST and Docker contexts mean the same here as later.
answers() { "$python" -c 'from orchestrator.run.engine.engine import Engine; Engine.connect().close()' >/dev/null 2>&1; }
fail() { printf '%s\n' "$@" >&2; exit 5; }

wait_for_engine() {
    for ((second = 0; second < patience; second++)); do
        if answers; then return 0; fi
        sleep 1
    done
    return 1
}

if answers; then exit 0; fi
[ -z "${DOCKER_HOST:-}" ] || fail "DOCKER_HOST is $DOCKER_HOST, and no engine answers there." \
    "Start that engine, or unset DOCKER_HOST to use one on this machine."
if [ "$(id -u)" != 0 ]; then
    [ ! -S /var/run/docker.sock ] || fail "There is an engine that this user may not talk to." \
        "Become a member of the group docker (sudo usermod -aG docker \$USER, then log in again), or run this as root."
    fail "No container engine answers, and only root can start one." "Run: sudo scripts/engine.sh" \
        "or install and start Docker by hand; its own documentation says how."
fi

command -v dockerd >/dev/null || scripts/packages.sh "a container engine" docker.io iptables
if [ -d /run/systemd/system ]; then
    echo "starting the engine (systemd)"
    systemctl start docker || fail "systemctl could not start docker; see: journalctl -u docker"
    wait_for_engine || fail "The engine was started and does not answer; see: journalctl -u docker"
    exit 0
fi
# A package's own start script may be at it already.
if pidof dockerd >/dev/null; then
    wait_for_engine || fail "dockerd runs and does not answer."
    exit 0
fi
echo "starting the engine (dockerd, log in $log)"
# In a session of its own, with nothing of ours held open: it outlives this script and make.
setsid --fork dockerd >"$log" 2>&1 </dev/null 3>&- 4>&-
if ! wait_for_engine; then
    tail -n 15 "$log" >&2
    fail "dockerd does not come up; its last lines are above. It needs root, cgroups and a kernel with" \
        "namespaces: in a container that means a privileged one."
fi
