"""What a failed job lacks, by the words of its exception or the end of its log, and how to give it that.

Both are a stranger's text: they are only matched. A hint has none of it but a module's plain name.
"""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator.image.packages.import_names import package_of
from orchestrator.message_wording import shortened
from orchestrator.run.log_spool import SpoolReader

COMPILER = (
    "this base has no C++ compiler, which torch.compile needs: `base: cuda` has one, for jobs without a GPU"
    " too; or give a flavour of images/bases.toml the packages g++ and libpython3-dev"
)
NETWORK = (
    "the job has no network (resources.network: none): give it the data as `inputs`, or set"
    " resources.network to bridge"
)
MODULE = (
    "the image has no module {module}; if it comes from the package {package}: "
    "echo {package} >> requirements.in; reprise lock; reprise submit …"
)
LOG_END = 4096  # bytes of a log in which the last words of a job are looked for
LAST_LINE = 300  # characters

_ESCAPES = re.compile(
    r"\x1b\[[\x20-\x3f]*[\x40-\x7e]|\x1b\][^\x07\x1b\n]*(\x07|\x1b\\)|\x1b[\x30-\x5a\x5c-\x7e]"
)
_NO_COMPILER = re.compile(
    r"InvalidCxxCompiler|No working C\+\+ compiler|Failed to find C compiler"
    r"|(g\+\+|c\+\+|gcc|cc)'?: (command )?not found|No such file or directory: '(g\+\+|c\+\+|gcc|cc)'"
)
_NO_NETWORK = re.compile(
    r"[Nn]ame resolution|Name or service not known|[Nn]etwork is unreachable|NameResolutionError|gaierror"
    r"|[Cc]ould ?n[o']t connect to|Failed to establish a new connection|Max retries exceeded with url"
    r"|[Cc]ould not resolve host|unable to resolve host|LocalEntryNotFoundError|OfflineModeIsEnabled"
    r"|URLError|[Cc]ould not resolve proxy|Cannot connect to host"
)
_NO_MODULE = re.compile(
    r"ModuleNotFoundError: No module named '([A-Za-z0-9_.]{1,200})'(?!; '\S+' is not a package)"
)


def hint_of(text: str, *, network: bool) -> str | None:
    """What to do about an error. `network`: the job could reach one."""
    if _NO_COMPILER.search(text):
        return COMPILER
    module = _NO_MODULE.search(text)
    package = package_of(module[1]) if module is not None else None
    if module is not None and package is not None:
        return MODULE.format(module=module[1], package=package)
    return NETWORK if not network and _NO_NETWORK.search(text) else None


def last_line(text: str) -> str | None:
    """The last line of a log's end that has words, as plain text; None where there is none.

    It is a stranger's text: escape sequences and controls are taken out, and of a progress bar the last state
    is kept.
    """
    for line in reversed(_ESCAPES.sub("", text).split("\n")):
        shown = "".join(one if one.isprintable() else " " for one in line.rstrip("\r").rpartition("\r")[2])
        if words := " ".join(shown.split()):
            return shortened(words, LAST_LINE)
    return None


def log_end(folder: Path) -> str:
    """The last words of a job's log, from its spool; empty where it cannot be read."""
    end = b""
    try:
        reader = SpoolReader(folder)
        for _, data in reader.more():
            end = (end + data)[-LOG_END:]
        reader.close()
    except OSError:
        return ""
    return end.decode("utf-8", "replace")
