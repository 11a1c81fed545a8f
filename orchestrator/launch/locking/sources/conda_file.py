"""Reads a conda environment: packages that pip has, under its names. The rest is named in a note."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.image.image_model import PythonFacts
from orchestrator.image.wheels.wheel_address import escaped, quoted
from orchestrator.launch.locking.requirement_line import MAX_LINE
from orchestrator.launch.locking.sources.found_requirements import MAX_FILE, FoundRequirements, text_of
from orchestrator.launch.locking.sources.pip_file import read_pip_entries
from orchestrator.spec.jobfile.problems import SpecError
from orchestrator.spec.jobfile.strict_yaml import YamlNode, read_yaml
from orchestrator.spec.plain_file import read_plain

# conda's name: pip's.
_PIP_NAMES = {
    "faiss": "faiss-cpu",
    "matplotlib-base": "matplotlib",
    "msgpack-python": "msgpack",
    "opencv": "opencv-python-headless",
    "py-opencv": "opencv-python-headless",
    "pytables": "tables",
    "pytorch": "torch",
    "pytorch-cpu": "torch",
    "pytorch-gpu": "torch",
    "python-graphviz": "graphviz",
    "tensorboard-data-server": "tensorboard-data-server",
    "tensorflow-gpu": "tensorflow",
    "typing_extensions": "typing-extensions",
}
# What conda has and pip does not: the interpreter, compilers, C libraries, CUDA, programs.
_CONDA_ONLY = re.compile(
    r"python|python_abi|conda|mamba|_.*|lib(?!rosa$|cst$|svm-official$|tmux$|sass$).*"
    r"|cuda.*|cudatoolkit.*|cudnn|nccl|magma.*|pytorch-cuda|pytorch-mutex|mkl.*|blas.*|openblas.*|intel-openmp"
    r"|llvm-openmp|tbb|gcc.*|gxx.*|gfortran.*|clang.*|binutils.*|ld_impl.*|sysroot.*|kernel-headers.*|make|cmake"
    r"|pkg-config|ninja|git|git-lfs|nodejs|yarn|ffmpeg|x264|x265|openh264|ca-certificates|openssl|zlib.*|zstd"
    r"|xz.*|bzip2|lz4-c|lzo|snappy|gflags|glog|gmp|mpfr|mpc|gettext|glib.*|gtk.*|qt.*|pyqt.*|tk|ncurses|readline"
    r"|sqlite|expat|freetype|fontconfig|harfbuzz|icu|jpeg|jasper|libpng|giflib|lcms2|openjpeg|pcre.*|tzdata|wget"
    r"|curl|bash|vim|tmux|htop|krb5|keyutils|nettle|gnutls|p11-kit|lame|aom|dav1d|svt-av1|hdf5|eigen|boost.*|c-ares"
    r"|brotli(-bin)?|yaml|xorg-.*|fftw|suitesparse|metis|jq|graphviz|pandoc|texlive.*|r-.*|nomkl|pip-tools",
)
_INSTALLERS = frozenset({"pip", "setuptools", "wheel"})  # the base has them
_ENTRY = re.compile(
    r"(?:[A-Za-z0-9_./-]+::)?(?P<name>[A-Za-z0-9_.-]+)(?P<selectors>\[[^\]]*\])?\s*(?P<versions>.*)"
)
_EXACT = re.compile(r"=?=?\s*(?P<version>[0-9][0-9A-Za-z.+!]*)(?:=[A-Za-z0-9_.*]+)?")
_FUZZY = re.compile(r"=?\s*(?P<version>[0-9][0-9A-Za-z.]*?)\.?\*?")
_RANGE = re.compile(r"(?:(?:==|>=|<=|!=|>|<|~=)\s*[0-9][0-9A-Za-z.*+!]*\s*,?\s*)+")
_MAX_NAMED = 12  # packages in one note


def read_conda_file(path: Path, python: PythonFacts) -> FoundRequirements:
    """UsageError: not an environment, or an entry that cannot be understood."""
    root, problems = read_yaml(text_of(read_plain(path, MAX_FILE)), str(path))
    if problems:
        raise SpecError(problems)
    listed = root.value.get("dependencies") if root is not None and isinstance(root.value, dict) else None
    if listed is None or not isinstance(listed.value, list):
        raise UsageError(f"{path} has no list of dependencies", "a conda environment has one")
    lines: list[str] = []
    wrong: list[str] = []
    left: list[str] = []
    notes: list[str] = []
    of_pip = FoundRequirements()
    for node in listed.value:
        if isinstance(node.value, dict) and "pip" in node.value:
            of_pip = of_pip.and_more(_of_pip(node.value["pip"], path))
            continue
        entry = node.value if isinstance(node.value, str) else None
        match = _ENTRY.fullmatch(entry.strip()) if entry and len(entry) <= MAX_LINE else None
        if match is None:
            wrong.append(f"line {node.line}: not a package" + (f": {quoted(entry)}" if entry else ""))
            continue
        name = match["name"].lower()
        if name == "python":
            notes += _about_python(match["versions"], python)
        elif name in _INSTALLERS:
            continue
        elif _CONDA_ONLY.fullmatch(name):
            left.append(name)
        else:
            try:
                versions = _pip_versions(match["selectors"] or "", match["versions"].strip())
                lines.append(_PIP_NAMES.get(name, name) + versions)
            except ValueError as error:
                wrong.append(f"line {node.line}: {escaped(name)}: {error}")
    if wrong:
        raise UsageError("\n".join([f"{path} cannot be locked:", *(f"  {one}" for one in wrong[:50])]))
    if left:
        notes.append(f"left out, because pip has no such package: {_named(left)}")
    return FoundRequirements(lines=tuple(lines), notes=tuple(notes)).and_more(of_pip)


def _of_pip(node: YamlNode, path: Path) -> FoundRequirements:
    """The entries under `pip:`. conda hands them to pip as the lines of a file beside its own."""
    entries: list[tuple[int, str]] = []
    for one in node.value if isinstance(node.value, list) else [node]:
        if not isinstance(one.value, str):
            raise UsageError(f"{path}, line {one.line}: not a line for pip", "pip: has a list of texts")
        entries.append((one.line, one.value))
    return read_pip_entries(path, entries)


def _pip_versions(selectors: str, text: str) -> str:
    """`=1.26` is `==1.26.*` for conda, `==1.26.4` and `=1.26.4=build` are exact. ValueError: another form."""
    if selectors:
        raise ValueError(f"what stands in brackets is not read: {quoted(selectors)}")
    if not text or text == "*":
        return ""
    exact = _EXACT.fullmatch(text)
    if exact is not None and (text.startswith("==") or text.count("=") == 2):
        return f"=={exact['version']}"
    fuzzy = _FUZZY.fullmatch(text)
    if fuzzy is not None:
        return f"=={fuzzy['version']}.*"
    if _RANGE.fullmatch(text):
        return re.sub(r"\s+", "", text).rstrip(",")
    raise ValueError(f"not versions that pip could have: {quoted(text)}")


def _about_python(versions: str, python: PythonFacts) -> Iterable[str]:
    asked = re.search(r"[0-9]+\.[0-9]+", versions)
    if asked is not None and not python.version.startswith(f"{asked[0]}.") and ">" not in versions:
        yield f"it asks for Python {asked[0]}; the base has {python.version}"


def _named(names: list[str]) -> str:
    shown = ", ".join(escaped(name) for name in names[:_MAX_NAMED])
    return f"{shown} and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else shown
