"""What a base has, and which of it a job takes as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from orchestrator.errors import UsageError
from orchestrator.image.image_model import PythonFacts

# What a base is built around. A job brings no other version of these: they hold code compiled for each other.
_HELD = re.compile(
    r"torch|torchvision|torchaudio|triton|nvidia-(?!ml-py)[a-z0-9-]+|cuda-[a-z0-9-]+", re.ASCII
)
# What only PyTorch's build for GPUs needs.
_CUDA_PARTS = re.compile(
    r"triton|cuda-(bindings|pathfinder|toolkit)|nvidia-(cublas|cuda-(cupti|nvrtc|runtime)|cudnn|cufft|cufile|curand"
    r"|cusolver|cusparse|cusparselt|nccl|nvjitlink|nvshmem|nvtx)(-cu[0-9]+)?",
    re.ASCII,
)
# Compiled against one build of PyTorch: the index has them for its own build only.
_BUILT_ON_TORCH = ("torchvision", "torchaudio", "torchtext", "torchcodec")


def held(name: str) -> bool:
    """Whether a job must take the base's version of a package where the base has one."""
    return _HELD.fullmatch(name) is not None


def cuda_part(name: str) -> bool:
    return _CUDA_PARTS.fullmatch(name) is not None


def public(version: str) -> str:
    """A version without what its builder added: 2.13.0+cpu is 2.13.0."""
    return version.partition("+")[0]


def has_cpu_torch(packages: Mapping[str, str]) -> bool:
    """Whether a base's PyTorch is a build for the CPU only, which no package index has."""
    return packages.get("torch", "").endswith("+cpu")


def foreign_build(name: str, version: str, packages: Mapping[str, str]) -> bool:
    """Whether a package is compiled against another build of PyTorch than the base's, as an index has it."""
    if name not in _BUILT_ON_TORCH or name in packages:
        return False
    return has_cpu_torch(packages) and not version.endswith("+cpu")


def provided(name: str, version: str, python: PythonFacts) -> bool:
    """Whether the base has this version of a package, in whatever build."""
    return name in python.packages and public(python.packages[name]) == public(version)


class BaseClashError(UsageError):
    """A lock has another PyTorch, or companion of it, than the base. `wanted`: which, each in its version;
    `built_on`: packages that need another build of PyTorch than the base's."""

    def __init__(
        self,
        message: str,
        hint: str,
        wanted: Iterable[tuple[str, str]],
        built_on: Iterable[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message, hint)
        self.wanted, self.built_on = tuple(wanted), tuple(built_on)

    def naming(self, bases: Mapping[str, Mapping[str, str]]) -> BaseClashError:
        """The same with a base that fits, of those of this box: name -> package -> version."""
        for base, packages in sorted(bases.items()):
            if self._fits(packages):
                hint = f"`base: {base}` in the job file fits it"
                return BaseClashError(self.message, hint, self.wanted, self.built_on)
        return self

    def _fits(self, packages: Mapping[str, str]) -> bool:
        if self.built_on and "torch" not in packages:
            return False
        if any(foreign_build(name, version, packages) for name, version in self.built_on):
            return False
        return all(public(packages.get(name, "")) == public(version) for name, version in self.wanted)


def refuse_clashes(path: object, versions: Iterable[tuple[str, str]], python: PythonFacts) -> None:
    """BaseClashError where a lock has another PyTorch, or companion of it, than the base.

    `versions`: name and version of each package.
    """
    lines, own, wanted, built_on = [], [], [], []
    for name, version in versions:
        if held(name) and not (cuda_part(name) and name not in python.packages):
            wanted.append((name, version))
        if held(name) and name in python.packages and not provided(name, version, python):
            lines.append(f"{name} {version} is locked, and the base has {python.packages[name]}")
            own.append(f"--requirement {name}=={version}")
        elif foreign_build(name, version, python.packages):
            lines.append(f"{name} is made for another build of PyTorch than the base's CPU build")
            built_on.append((name, version))
    if lines:
        make = (
            f", or make one of your own: reprise base new NAME {' '.join(own)}" if own else ", such as cuda"
        )
        raise BaseClashError(
            "\n".join([f"{path} does not fit the base:", *(f"  {line}" for line in lines)]),
            f"name a base in the job file that has it (reprise base list){make}",
            wanted,
            built_on,
        )
