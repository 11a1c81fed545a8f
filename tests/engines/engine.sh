#!/usr/bin/env bash
# Another engine beside this machine's own, from a newer Debian's packages, in mount and network namespaces of
# its own:
#   engine.sh up NAME      makes what is missing, starts it, prints its DOCKER_HOST
#   engine.sh down NAME    removes its containers and ends it
#   engine.sh names        what there is
# Its images stay in $REPRISE_ENGINES for the next time. Of this machine's files it sees $REPRISE_ENGINES/seen
# alone, under the same path, so homes and inputs belong there.
set -euo pipefail
top="${REPRISE_ENGINES:-/var/tmp/reprise-engines}" # short: Podman takes no path of more than 50 characters
names=(docker-26.1 docker-26.1-containerd docker-28.5 docker-28.5-containerd podman-5.8)
# One more, which is refused: docker-28.5-rootless, Docker without root's rights, as user $nobody.
nobody=65521

fail() { printf '%s\n' "$@" >&2; exit 5; }

# The suite that has the engine, what is started, and with which options.
what_is() {
    store=""
    case "$1" in
    docker-26.1*) suite=trixie kind=docker ;;
    docker-28.5-rootless) suite=sid kind=rootless ;;
    docker-28.5*) suite=sid kind=docker ;;
    podman-5.8) suite=sid kind=podman ;;
    *) fail "No engine is called $1. There are: ${names[*]}" ;;
    esac
    case "$1" in *-containerd) store=containerd ;; esac
    root="$top/root-$suite" room="$top/$1" host="unix://$top/$1/run/engine.sock"
}

make_root() {
    [ ! -e "$root/made" ] || return 0
    local mirror packages="docker.io,docker-cli,docker-buildx,containerd,runc,iptables,ca-certificates,mount"
    # One root for all engines of a suite.
    [ "$suite" != sid ] || packages+=",podman,catatonit,netavark,aardvark-dns,nftables"
    [ "$suite" != sid ] || packages+=",rootlesskit,uidmap,slirp4netns,iproute2"
    mirror="$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -v security | head -n 1)"
    [ -n "$mirror" ] || fail "apt knows no archive: a root of $suite cannot be made"
    echo "making a root of Debian $suite in $root" >&2
    rm -rf --one-file-system "$root"
    # sid's Release file can be older than it allows itself in a mirror.
    mmdebstrap --quiet --variant=apt --aptopt='Acquire::Check-Valid-Until "false"' \
        --keyring=/usr/share/keyrings/debian-archive-keyring.gpg --include="$packages" \
        "$suite" "$root" "deb $mirror $suite main" >&2
    touch "$root/made"
}

# The command line of the engine, as it is seen inside its root.
engine_command() {
    if [ "$kind" = docker ]; then
        local features='{}'
        [ "$store" != containerd ] || features='{"features":{"containerd-snapshotter":true}}'
        echo "$features" >"$room/daemon.json"
        echo "/usr/sbin/dockerd --config-file $room/daemon.json --data-root $room/data --exec-root $room/exec" \
            "--pidfile $room/engine.pid -H $host"
    elif [ "$kind" = rootless ]; then
        echo "setpriv --reuid $nobody --regid $nobody --clear-groups env -i HOME=$room XDG_RUNTIME_DIR=$room/run" \
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin rootlesskit --net=slirp4netns --mtu=65520 --disable-host-loopback" \
            "--port-driver=none --state-dir=$room/kit --copy-up=/etc --copy-up=/run --propagation=rslave" \
            "dockerd --rootless --data-root $room/data --exec-root $room/exec --pidfile $room/run/docker.pid" \
            "-H $host --bridge=none --iptables=false --ip6tables=false"
    else
        printf '{"default":[{"type":"insecureAcceptAnything"}]}\n' >"$room/policy.json"
        echo "/usr/bin/podman --root $room/data --runroot $room/exec --cgroup-manager cgroupfs" \
            "--events-backend file --tmpdir $room/exec/tmp --runtime runc" \
            "system service --time 0 $host"
    fi
}

# A user of that root with 65,536 more ids, and a /dev/net/tun that he may open.
prepare_rootless() {
    if ! grep -q "^nobody-here:" "$root/etc/passwd"; then
        echo "nobody-here:x:$nobody:$nobody::$room:/bin/bash" >>"$root/etc/passwd"
        echo "nobody-here:x:$nobody:" >>"$root/etc/group"
        echo "nobody-here:200000:65536" | tee -a "$root/etc/subuid" >>"$root/etc/subgid"
    fi
    chown "$nobody:$nobody" "$room" "$room"/{data,exec,run}
    [ -e "$room/tun" ] || mknod -m 666 "$room/tun" c 10 200
}

up() {
    what_is "$1"
    if docker -H "$host" version >/dev/null 2>&1; then echo "$host"; return; fi
    [ "$(id -u)" = 0 ] || fail "Only root can start an engine with namespaces of its own."
    mkdir -p "$room"/{data,exec,run} "$top/seen"
    make_root
    rm -rf "$room/run/engine.sock" "$room/exec/containerd/containerd.pid" "$room/kit"
    [ "$kind" != rootless ] || prepare_rootless
    local command
    command="$(engine_command)"
    # Podman's builder gives each step a million open files and processes, which a box may have forbidden.
    printf '[containers]\ndefault_ulimits = ["nofile=%s", "nproc=%s"]\n' \
        "$(ulimit -Hn)" "$(ulimit -Hu)" | sed s/unlimited/-1/g >"$room/containers.conf"
    # runc refuses a plain chroot, so the root is entered by pivot_root. The network namespace is entered by
    # unshare: `ip netns exec` would mount a /sys without cgroups.
    setsid --fork unshare --net --mount --propagation private bash -c "
        set -e
        ip link set lo up
        mount --bind '$root' '$root'
        for part in proc sys dev; do mount --rbind /\$part '$root'/\$part; done
        mount -t tmpfs tmpfs '$root/run'
        for seen in '$room' '$top/seen'; do mkdir -p '$root'\"\$seen\" && mount --bind \"\$seen\" '$root'\"\$seen\"; done
        mkdir -p '$root/oldroot'
        if [ '$kind' = rootless ]; then mount --bind '$room/tun' '$root/dev/net/tun'; fi
        if [ '$kind' = podman ]; then
            mkdir -p '$root/etc/containers' && cp '$room/policy.json' '$root/etc/containers/'
            cp '$room/containers.conf' '$root/etc/containers/'
        fi
        cd '$root' && pivot_root . oldroot && umount -l /oldroot
        [ '$kind' = docker ] || echo \$\$ >'$room/engine.pid'
        exec $command" >"$room/log" 2>&1 </dev/null
    for ((second = 0; second < 90; second++)); do
        if docker -H "$host" version >/dev/null 2>&1; then echo "$host"; return; fi
        sleep 1
    done
    tail -n 15 "$room/log" >&2
    fail "$1 does not come up; its last lines are above"
}

down() {
    what_is "$1"
    local pid left
    left="$(docker -H "$host" ps --all --quiet 2>/dev/null)" || true
    # shellcheck disable=SC2086  # a list of ids
    [ -z "$left" ] || docker -H "$host" rm --force $left >/dev/null
    [ -s "$room/engine.pid" ] || return 0
    pid="$(cat "$room/engine.pid")"
    [ ! -d "/proc/$pid" ] || kill "$pid"
    for ((second = 0; second < 30; second++)); do
        [ -d "/proc/$pid" ] || break
        sleep 1
    done
    rm -f "$room/engine.pid"
}

case "${1:-}" in
up | down) [ $# = 2 ] || fail "usage: engine.sh up|down NAME"; "$1" "$2" ;;
names) printf '%s\n' "${names[@]}" ;;
*) fail "usage: engine.sh up NAME | down NAME | names" ;;
esac
