#!/usr/bin/env bash
# Fresh machines, and what a newcomer types on them: scripts/machines.sh [SUITE…]
# Each SUITE (Debian's bookworm, trixie, sid) becomes a root of its own: what a bare server has, git and make. It gets a
# mount, process and network namespace, the last commit of this checkout, and an engine that `make` installs there.
# Ends with a table of what passed, in which time; exit code 1 where something did not.
#
#   TARGETS="demo test"    what make is asked for, one after the other
#   PYTEST_ADDOPTS="…"     reaches pytest: some tests only
#   MIRROR=URL             of Debian; else the first one of this machine's apt
#   ROOM=FOLDER            for roots (about 15 GB each while it runs) and logs; the logs stay
#   KEEP=1                 leaves the roots, and uses one that is there again, with today's commit
# Needs root, and Debian or Ubuntu. How this machine reaches packages (pip's settings and local folders, certificates
# that its administrator added, a proxy) is handed on.
set -euo pipefail
cd "$(dirname "$0")/.."

suites=("$@")
[ "${#suites[@]}" -gt 0 ] || suites=(bookworm trixie sid)
read -ra targets <<<"${TARGETS:-demo test}"
room="${ROOM:-/var/tmp/reprise-machines}"
rows="" failed=0

fail() { printf '%s\n' "$@" >&2; exit 5; }
[ "$(id -u)" = 0 ] || fail "fresh machines need root: namespaces, mounts and a bridge to the network"
scripts/packages.sh "to make fresh machines" mmdebstrap iproute2 iptables util-linux debian-archive-keyring
mirror="${MIRROR:-$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' | awk '$1 == "Debian" { print $2; exit }')}"
[ -n "$mirror" ] || fail "apt here knows no mirror of Debian: set MIRROR to one"
[ -z "$(git status --porcelain)" ] || echo "what is not committed is not tried" >&2
mkdir -p "$room"

# Everything that was made for one machine goes, its processes first: they are one process's namespace.
machine="" init="" first=""
undo() {
    [ -n "$machine" ] || return 0
    # By the engine first: it takes the control groups of its containers away, too.
    [ -z "$first" ] || inside sh -c 'docker ps --quiet | xargs --no-run-if-empty docker rm --force' >/dev/null 2>&1 || true
    [ -z "$init" ] || { kill -KILL "$init" 2>/dev/null || true; wait "$init" 2>/dev/null || true; }
    network_down
    [ -n "${KEEP:-}" ] || rm -rf --one-file-system "$room/$machine"
    machine="" init="" first=""
}
trap undo EXIT
trap 'exit 130' INT TERM

network_rules() { # -I or -D: what another engine's rules for forwarding would stop
    local wire="$1"
    shift
    iptables "$1" FORWARD -i "$wire" -j ACCEPT
    iptables "$1" FORWARD -o "$wire" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    iptables -t nat "$1" POSTROUTING -s "$net.0/24" ! -o "$wire" -j MASQUERADE
}

network_up() { # a wire from this machine into a namespace of its own
    net="10.213.$((RANDOM % 200 + 20))" wire="rm-$machine"
    ip netns add "reprise-$machine"
    ip link add "$wire" type veth peer name eth0 netns "reprise-$machine"
    ip address add "$net.1/24" dev "$wire"
    ip link set "$wire" up mtu "$(ip -o route get 192.0.2.1 | grep -o 'dev [^ ]*' | awk '{ print $2 }' | xargs -I{} cat /sys/class/net/{}/mtu)"
    forwarding="$(sysctl -n net.ipv4.ip_forward)"
    sysctl -q net.ipv4.ip_forward=1
    network_rules "$wire" -I
    # nsenter, not `ip netns exec`: that mounts a /sys of its own, without control groups.
    nsenter --net="/run/netns/reprise-$machine" sh -c "ip link set lo up; ip address add $net.2/24 dev eth0; \
        ip link set eth0 up mtu $(cat "/sys/class/net/$wire/mtu"); ip route add default via $net.1"
}

network_down() {
    [ -n "${net:-}" ] || return 0
    network_rules "$wire" -D || true
    ip link delete "$wire" || true
    ip netns delete "reprise-$machine" || true
    sysctl -q "net.ipv4.ip_forward=$forwarding"
    net=""
}

root_made() { # a fresh root, with what this machine knows about the way to packages
    local root="$room/$machine"
    if [ -n "${KEEP:-}" ] && [ -d "$root/root/reprise" ]; then
        git -C "$root/root/reprise" fetch --quiet "$PWD" HEAD
        git -C "$root/root/reprise" reset --quiet --hard FETCH_HEAD
        return
    fi
    rm -rf --one-file-system "$root"
    # A mirror may be a snapshot, whose Release file is older than it allows itself; sid's often is.
    mmdebstrap --quiet --variant=minbase --include=git,make,ca-certificates --aptopt='Acquire::Check-Valid-Until "false"' \
        --keyring=/usr/share/keyrings/debian-archive-keyring.gpg "$machine" "$root" "deb $mirror $machine main"
    local resolve=/etc/resolv.conf
    [ ! -e /run/systemd/resolve/resolv.conf ] || resolve=/run/systemd/resolve/resolv.conf
    cp "$resolve" "$root/etc/resolv.conf"
    echo "127.0.0.1 localhost $machine" >"$root/etc/hosts"
    [ ! -d /usr/local/share/ca-certificates ] ||
        cp -r /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates"
    chroot "$root" update-ca-certificates >/dev/null 2>&1
    "${VENV:-.venv}/bin/python" - "$root" <<'PYTHON'
import ast, pathlib, subprocess, sys

root = pathlib.Path(sys.argv[1])
asked = [sys.executable, "-m", "pip", "config", "list"]
lines, folders = ["[global]"], set()
listed = subprocess.run(asked, capture_output=True, text=True).stdout.splitlines()
for line in sorted(listed, key=lambda line: line.startswith(":env:")):  # what is said last holds
    key, _, value = line.partition("=")
    words = str(ast.literal_eval(value)).split()
    lines.append(f"{key.rpartition('.')[2].removeprefix('default-')} = {' '.join(words)}")
    for word in words:
        path = pathlib.Path(word.removeprefix("file://"))
        if path.is_dir():
            folders.add(path.parent if path.name == "simple" else path)  # a local index, with its files beside it
        elif path.is_absolute() and path.is_file() and not (root / path.relative_to("/")).exists():
            (root / path.relative_to("/")).parent.mkdir(parents=True, exist_ok=True)
            (root / path.relative_to("/")).write_bytes(path.read_bytes())
last = {line.split(" = ")[0]: line for line in lines}
(root / "etc/pip.conf").write_text("\n".join(last.values()) + "\n")
(root / "etc/reprise-folders").write_text("".join(f"{folder}\n" for folder in sorted(folders)))
PYTHON
    git clone --quiet --no-hardlinks . "$root/root/reprise"
}

machine_up() { # its first process; the machine ends with it
    local root="$room/$machine"
    nsenter --net="/run/netns/reprise-$machine" unshare --mount --pid --uts --ipc --fork --kill-child \
        --propagation private bash -euc '
        root="$1" name="$2"
        mount --bind "$root" "$root"
        mount -t proc proc "$root/proc"
        for place in sys dev; do mount --rbind "/$place" "$root/$place"; done
        mount -t tmpfs tmpfs "$root/run"
        while read -r folder; do
            mkdir -p "$root$folder"
            mount --bind -o ro "$folder" "$root$folder"
        done <"$root/etc/reprise-folders"
        hostname "$name"
        cd "$root"
        mkdir -p .outside
        pivot_root . .outside
        umount -l /.outside
        rmdir /.outside
        touch /run/up
        while :; do sleep 60 & wait $!; done # what has no parent any more is waited for by this shell' machine "$root" "$machine" </dev/null >"$room/$machine.log" 2>&1 &
    init=$!
    for _ in $(seq 100); do
        first="$(pgrep -P "$init" || true)" # the first process inside
        if [ -n "$first" ] && [ -e "/proc/$first/root/run/up" ]; then return 0; fi
        sleep 0.1
    done
    tail -n 5 "$room/$machine.log" >&2
    fail "$machine does not come up"
}

inside() { # COMMAND…: in the machine, with the environment of a fresh login
    nsenter --target "$first" --mount --pid --net --uts --ipc --root --wdns=/root/reprise env --ignore-environment \
        HOME=/root USER=root LOGNAME=root TERM="${TERM:-dumb}" SHELL=/bin/bash \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
        ${no_proxy:+no_proxy="$no_proxy"} ${PYTEST_ADDOPTS:+PYTEST_ADDOPTS="$PYTEST_ADDOPTS"} "$@"
}

row() { rows+="$(printf '%-10s %-8s %-8s %-12s %-8s %s' "$@")"$'\n'; }

try() { # TARGET
    local target="$1" began="$SECONDS" result=passed log="$room/$machine-$1.log"
    echo "$machine: make $target (log in $log)"
    inside make "$target" </dev/null >"$log" 2>&1 || { result=FAILED failed=1; tail -n 30 "$log" | sed 's/^/    /'; }
    local python engine
    python="$(inside .venv/bin/python --version 2>/dev/null | awk '{ print $2 }')" || python=none
    engine="$(inside dockerd --version 2>/dev/null | awk '{ sub(/[+,].*/, "", $3); print $3 }')" || engine=none
    row "$machine" "${python:-none}" "${engine:-none}" "$target" "$result" "$((SECONDS - began)) s"
    grep -E '^(=+ .*(passed|failed|error).* =+$|not run here|.* passed.* in )' "$log" | sed 's/^/    /' || true
}

for machine in "${suites[@]}"; do
    began="$SECONDS"
    root_made
    network_up
    machine_up
    row "$machine" - - "(made)" - "$((SECONDS - began)) s"
    for target in "${targets[@]}"; do try "$target"; done
    undo
done
printf '\n%-10s %-8s %-8s %-12s %-8s %s\n%s' machine python engine make result time "$rows"
exit "$failed"
