"""`make team`: types the commands of docs/team.md on a hub, a GPU box and a laptop, and times them.

All three are on this machine. The page's blocks are found by the comment before them, `<!-- make team:
PLACE -->`, so the page cannot drift from what was tried. The hub is a fresh Debian 12 in namespaces of its
own. The box and the laptop see this machine's files, but have a network namespace, an /etc, a home and a
/srv of their own; the box uses this machine's engine, the laptop has none. Nothing of this machine's /etc,
home or network is changed.
Needs root, Debian or Ubuntu, this checkout set up (`make setup engine base`).
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
PAGE = HERE / "docs" / "team.md"
ROOM = Path(os.environ.get("ROOM", "/var/tmp/reprise-team"))  # noqa: S108  (root's, and made by root)
PLACES = {"hub": "10.0.0.1", "box": "10.0.0.2", "laptop": "10.0.0.3"}
PATIENCE = 900.0  # seconds for one block
_BLOCK = re.compile(
    r"^<!-- make team: (?P<places>[a-z ]+) -->\n```\n(?P<commands>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    line: int  # of the page
    places: tuple[str, ...]
    commands: str


def blocks_of(text: str) -> list[Block]:
    """The page's blocks that are typed, in its order. ValueError: one names a place that there is not."""
    found = []
    for match in _BLOCK.finditer(text):
        places = tuple(match["places"].split())
        if not places or not set(places) <= PLACES.keys():
            raise ValueError(f"no such place: {match['places']}")
        found.append(Block(text.count("\n", 0, match.start()) + 3, places, match["commands"]))
    return found


class Failed(Exception):
    """A place or a block did not do what the page says."""


def run(*words: str | Path, **more: object) -> None:
    subprocess.run([str(word) for word in words], check=True, **more)  # type: ignore[call-overload]


@contextmanager
def network() -> Iterator[None]:
    """A switch and three machines on it; no way out."""
    names = ["switch", *PLACES]
    try:
        for name in names:
            run("ip", "netns", "add", f"reprise-team-{name}")
        inside = ("ip", "-n", "reprise-team-switch")
        run(*inside, "link", "add", "wire", "type", "bridge")
        run(*inside, "link", "set", "wire", "up")
        for name, address in PLACES.items():
            own = ("ip", "-n", f"reprise-team-{name}")
            peer = ("peer", "name", "eth0", "netns", f"reprise-team-{name}")
            run(*inside, "link", "add", name, "type", "veth", *peer)
            run(*inside, "link", "set", name, "master", "wire", "up")
            run(*own, "address", "add", f"{address}/24", "dev", "eth0")
            run(*own, "link", "set", "eth0", "up")
            run(*own, "link", "set", "lo", "up")
        yield
    finally:
        for name in names:
            subprocess.run(
                ["ip", "netns", "delete", f"reprise-team-{name}"], stderr=subprocess.DEVNULL, check=False
            )


def hub_root() -> Path:
    """A fresh Debian 12; the packages that the page installs lie in it, for the hub has no way out.

    It is made once for one list of packages (ROOM/fresh-…), and copied.
    """
    typed = "".join(block.commands for block in blocks_of(PAGE.read_text()))
    wanted = " ".join(re.findall(r"apt-get install -y (.+)", typed))
    fresh, root = ROOM / f"fresh-{zlib.crc32(wanted.encode()):08x}", ROOM / "hub"
    if not fresh.exists():
        _debian(ROOM / "making", wanted).rename(fresh)
    _remove(root)
    run("cp", "-a", "--reflink=auto", fresh, root)
    return root


def _debian(root: Path, packages: str) -> Path:
    _remove(root)
    listed = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages"]
    lines = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.splitlines()
    mirror = next(line.split()[1] for line in lines if line.startswith("Debian "))
    run(
        *("mmdebstrap", "--quiet", "--variant=minbase", '--aptopt=Acquire::Check-Valid-Until "false"'),
        # What is recommended beside them, a mail server among it, is no part of a team.
        '--aptopt=APT::Install-Recommends "false"',
        "--keyring=/usr/share/keyrings/debian-archive-keyring.gpg",
        f'--customize-hook=chroot "$1" apt-get install --yes --quiet=2 --download-only {packages}',
        *("--skip=cleanup/apt", "bookworm", root, f"deb {mirror} bookworm main"),
    )
    return root


def _remove(folder: Path) -> None:
    if folder.exists():
        run("rm", "-rf", "--one-file-system", folder)


# What a place's first process does, with $1 its folder: then it stays, and the place ends with it.
HUB = """
mount --bind "$1" "$1"; mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"; mount -t tmpfs tmpfs "$1/run"
cp "$2" "$1/etc/hosts"; hostname hub; touch "$1/run/up"
"""
PERSON = """
for part in etc var/log; do
    name="${part//\\//-}"; mkdir -p "$1/$name" "$1/work-$name"
    mount -t overlay overlay -o "lowerdir=/$part,upperdir=$1/$name,workdir=$1/work-$name" "/$part"
done
mount -t proc proc /proc; cp "$2" /etc/hosts; hostname "$3"
mount -t tmpfs tmpfs /srv; mkdir -p /srv/reprise; mount --bind "$4/srv/reprise" /srv/reprise; touch "$1/up"
"""


@contextmanager
def place(name: str, folder: Path, setup: str, hub: Path, mark: Path) -> Iterator[int]:
    """The first process of a place; all that was started there ends with it."""
    folder.mkdir(parents=True, exist_ok=True)
    mark.unlink(missing_ok=True)
    script = f"set -eu\n{setup}\nwhile :; do sleep 60 & wait $!; done"
    words = ["nsenter", f"--net=/run/netns/reprise-team-{name}", "unshare", "--mount", "--uts", "--pid"]
    words += ["--fork", "--kill-child", "--propagation", "private", "bash", "-c", script, name]
    words += [str(folder), str(ROOM / "hosts"), name, str(hub)]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        until = time.monotonic() + 20
        while True:
            inside = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            there = Path(f"/proc/{inside[0]}/root{mark}") if inside else None
            if there is not None and there.exists():
                break
            if time.monotonic() > until or process.poll() is not None:
                raise Failed(f"{name} does not come up")
            time.sleep(0.05)
        yield int(inside[0])
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def typed(block: Block, name: str, first: int, log: Path) -> float:
    """Seconds that the block's commands took in a place, as root's login shell types them."""
    home = "/root" if name == "hub" else str(ROOM / name / "home")
    path = f"{HERE}/.venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    environment = {"HOME": home, "PATH": path, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    if name == "laptop":
        environment["DOCKER_HOST"] = "unix:///nonexistent/docker.sock"
    words = ["nsenter", f"--target={first}", "--mount", "--uts", "--net", "--pid"]
    login = "[ ! -e /etc/profile.d/reprise.sh ] || . /etc/profile.d/reprise.sh; "
    if name == "hub":
        words += ["chroot", str(ROOM / "hub")]
        login = ""
    commands = f"cd {home}; {login}cd {HERE if name != 'hub' else home}\n{block.commands}"
    if name == "laptop":
        commands = commands.replace("run.json", f"{home}/run.json")
    words += ["bash", "-euo", "pipefail", "-c", commands]
    began = time.monotonic()
    with log.open("a") as stream:
        stream.write(f"\n### {name}, line {block.line}\n{block.commands}\n")
        stream.flush()
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=environment,
            timeout=PATIENCE,
        )
    if done.returncode:
        raise Failed(f"{name}, line {block.line} of {PAGE.name}: exit code {done.returncode}; see {log}")
    return time.monotonic() - began


def homes(shared: Path) -> None:
    """The box has this machine's cpu base, so it need not be made again there; the laptop has nothing."""
    for name in ("box", "laptop"):
        shutil.rmtree(ROOM / name, ignore_errors=True)
        (ROOM / name / "home").mkdir(parents=True)
    own = ROOM / "box" / "home" / ".local" / "share" / "reprise"
    own.mkdir(parents=True)
    shutil.copy(shared / "bases.toml", own)
    run("cp", "-r", "--reflink=auto", shared / "images", own)


def main() -> int:
    if os.geteuid() != 0:
        sys.exit("make team needs root: namespaces and mounts")
    ROOM.mkdir(parents=True, exist_ok=True)
    log, began = ROOM / "log", time.monotonic()
    log.write_text("")
    (ROOM / "hosts").write_text(
        "127.0.0.1 localhost\n" + "".join(f"{ip} {name}\n" for name, ip in PLACES.items())
    )
    shared = Path(os.environ.get("REPRISE_HOME") or Path.home() / ".local/share/reprise")
    homes(shared)
    hub = hub_root()
    (hub / "srv" / "reprise").mkdir(parents=True, exist_ok=True)
    rows, failed = [("(made)", "", time.monotonic() - began)], ""
    blocks = blocks_of(PAGE.read_text())
    with ExitStack() as stack:
        stack.enter_context(network())
        first = {"hub": stack.enter_context(place("hub", hub, HUB, hub, hub / "run/up"))}
        for name in ("box", "laptop"):
            first[name] = stack.enter_context(place(name, ROOM / name, PERSON, hub, ROOM / name / "up"))
        try:
            for block in blocks:
                for name in block.places:
                    rows.append((f"line {block.line}", name, typed(block, name, first[name], log)))
        except (Failed, subprocess.TimeoutExpired) as error:
            failed = str(error)
    for what, name, seconds in rows:
        print(f"{what:10} {name:8} {seconds:7.1f} s")
    print(f"{'all typed':19} {sum(seconds for _, _, seconds in rows[1:]):7.1f} s")
    if failed:
        print("\n".join(log.read_text().splitlines()[-30:]), file=sys.stderr)
        print(f"FAILED: {failed}", file=sys.stderr)
        return 1
    for name in ("hub", "box", "laptop"):
        _remove(ROOM / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
