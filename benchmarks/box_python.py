"""The box's own Python with PyTorch as the file system of a base: `write` makes a tar of it.

Taken are the Python that runs this, of its packages torch, numpy and what they ask for, a C and C++ compiler,
which Triton and torch.compile need, a few programs, and every library that one of these is linked with. What
no package's metadata names is taken, too. Left out are the driver's libraries, which come with the GPU.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import IO

PACKAGES = ("torch", "numpy", "pip", "setuptools", "wheel")
MACHINE = "x86_64-linux-gnu"
PROGRAMS = (
    *("sh", "bash", "env", "cat", "cp", "mv", "rm", "ls", "ln", "mkdir", "chmod", "touch", "true", "false"),
    *("sleep", "head", "tail", "sort", "sed", "grep", "uname", "id", "ldconfig"),
    *("cc", "gcc", "c++", "g++", "as", "ld", "ld.bfd", "ar", "nm", "objdump", "strip"),
    "openssl",  # torch.compile runs it over C++ headers
)
ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "passwd", "group", "nsswitch.conf", "localtime")
COMPILER = ("/usr/lib/gcc", "/usr/libexec/gcc")
HEADERS = ("asm", "asm-generic", "bits", "c++", "gnu", "linux", "rpc", "sys", MACHINE)
FOR_LINKING = (
    *("*crt*.o", "libc.so", "libc_nonshared.a", "libm.so", "libmvec.so", "libdl.*", "libpthread.*"),
    *("librt.*", "libutil.*", "libnss_*.so.2"),
)
_STATIC = re.compile(r"lib(gcc.*|dl|pthread|rt|util|c_nonshared)\.a\Z")  # what each link asks for
DRIVER_LIBRARIES = ("libcuda.so", "libnvidia-ml.so", "libnvidia-ptxjitcompiler.so", "libnvidia-nvvm.so")


def write(out: IO[bytes]) -> None:
    """The tar, readable by everyone whatever the modes on the box are."""
    box = BoxPython()
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        tree = Tree(tar, box.left_out)
        for path in (*box.trees, *box.programs, *box.settings, *box.for_compiling):
            tree.add(path)
        for path in box.libraries():
            tree.add(path)
        for name in ("tmp", "proc", "sys", "dev", "run"):
            tree.folder(Path("/", name), 0o1777 if name == "tmp" else 0o755)


class BoxPython:
    """Where the parts lie on this box."""

    @cached_property
    def trees(self) -> list[str]:
        """The folders of this Python; of a system's own prefix only those that are Python's."""
        paths = sysconfig.get_paths()
        found = {paths["stdlib"], paths["platstdlib"], paths["purelib"], paths["platlib"], paths["include"]}
        found |= {one for one in (sys.prefix, sys.base_prefix) if one not in ("/usr", "/usr/local")}
        if sys.prefix == "/usr":  # Debian's and Ubuntu's packages
            found.add("/usr/lib/python3")
        whole = sorted(path for path in found if Path(path).exists())
        return [path for path in whole if not any(path.startswith(f"{other}/") for other in whole)]

    @cached_property
    def programs(self) -> list[str]:
        folders = ("/usr/bin", "/bin", "/usr/sbin", "/sbin")
        found = [Path(folder, name) for name in PROGRAMS for folder in folders]
        linked = [Path("/usr/bin", f"{MACHINE}-{name}") for name in ("as", "ld", "gcc", "g++")]
        return [sys.executable, *(str(path) for path in (*found, *linked) if path.exists())]

    @cached_property
    def settings(self) -> list[str]:
        return [str(path) for path in (Path("/etc", name) for name in ETC) if path.exists()]

    @cached_property
    def for_compiling(self) -> list[str]:
        include, libraries = Path("/usr/include"), (Path("/usr/lib", MACHINE), Path("/usr/lib64"))
        found = [Path(one) for one in COMPILER]
        found += [*include.glob("*.h"), *(include / name for name in HEADERS)]
        found += [path for folder in libraries for pattern in FOR_LINKING for path in folder.glob(pattern)]
        return sorted(str(path) for path in found if path.exists())

    @cached_property
    def left_out(self) -> set[str]:
        """Other packages' files, and what lies below a virtual environment that does not see it."""
        paths = sysconfig.get_paths()
        found = {f"{paths['stdlib']}/test"}
        settings = Path(sys.prefix, "pyvenv.cfg")
        if settings.exists() and "system-site-packages = false" in settings.read_text():
            found.add(f"{paths['stdlib']}/site-packages")
        installed = {
            _plain(one.metadata["Name"]): one
            for one in importlib.metadata.distributions(path=[paths["purelib"], paths["platlib"]])
        }
        wanted: set[str] = set()
        asked = list(PACKAGES)
        while asked:
            name = asked.pop()
            if name in wanted or name not in installed:
                continue
            wanted.add(name)
            asked += [_plain(one) for one in installed[name].requires or () if "extra ==" not in one]
        kept = {path for name in wanted for path in _files(installed[name])}
        others = {path for name, one in installed.items() if name not in wanted for path in _files(one)}
        return (found | others) - kept

    def libraries(self) -> Iterator[str]:
        """What the dynamic linker finds for each program and module that is taken."""
        linked = [path for tree in (*self.trees, *COMPILER) for path in _programs_in(tree, self.left_out)]
        linked += self.programs
        for start in range(0, len(linked), 200):
            part = linked[start : start + 200]
            said = subprocess.run(["ldd", *part], capture_output=True, text=True, check=False).stdout
            for path in sorted(set(re.findall(r"(/\S+) \(0x", said))):
                if not Path(path).name.startswith(DRIVER_LIBRARIES):
                    yield path


def _plain(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""


def _files(package: importlib.metadata.Distribution) -> Iterator[str]:
    for path in package.files or ():
        yield os.path.normpath(str(package.locate_file(path)))


def _programs_in(tree: str, left_out: set[str]) -> Iterator[str]:
    for folder, folders, names in os.walk(tree):
        folders[:] = [one for one in folders if f"{folder}/{one}" not in left_out]
        for path in (Path(folder, name) for name in names):
            module = ".so" in path.name or tree in COMPILER
            if module and str(path) not in left_out and path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    if file.read(4) == b"\x7fELF":
                        yield str(path)


class Tree:
    """A tar that takes each path once, after its folders and the links to it, as the engine asks."""

    def __init__(self, tar: tarfile.TarFile, left_out: Iterable[str]) -> None:
        self._tar, self._left_out = tar, set(left_out)
        self._given: set[str] = set()

    def add(self, path: str) -> None:
        """The path with all that is in it, and with what it leads to where a part of it is a link."""
        parts, at = [*Path(path).parts[1:]], Path("/")
        while parts:
            here = Path(os.path.normpath(at / parts.pop(0)))
            if here.is_symlink():
                self._put(here)
                target = here.readlink()
                at = Path("/") if target.is_absolute() else at
                parts = [*(one for one in target.parts if one != "/"), *parts]
            else:
                at = here
                if parts and at != Path("/"):
                    self.folder(at)
        self._below(at)

    def _below(self, path: Path) -> None:
        if str(path) in self._left_out:
            return
        if path.is_symlink() or not path.is_dir():
            self._put(path)
            return
        self.folder(path)
        for one in sorted(path.iterdir()):
            if one.name not in (".git", "pkgs"):  # pkgs: conda's archives
                self._below(one)

    def folder(self, path: Path, mode: int = 0o755) -> None:
        if str(path) not in self._given:
            self._given.add(str(path))
            info = tarfile.TarInfo(str(path).lstrip("/"))
            info.type, info.mode = tarfile.DIRTYPE, mode
            self._tar.addfile(info)

    def _put(self, path: Path) -> None:
        if str(path) not in self._given and (path.suffix != ".a" or _STATIC.match(path.name)):
            self._given.add(str(path))
            self._tar.add(path, str(path).lstrip("/"), recursive=False, filter=_readable)


def _readable(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if not (info.isreg() or info.issym() or info.islnk()):
        return None
    info.mode = (info.mode | (0o555 if info.mode & 0o100 else 0o444)) & 0o755
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    return info
