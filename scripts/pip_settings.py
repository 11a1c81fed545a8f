"""Print pip's settings as uv's environment: NAME=VALUE, one a line. Only the standard library, Python 3.8 on.

uv reads none of pip's settings, and a machine that reaches its packages by a mirror, a folder of wheels or a
proxy is set up for pip. What is set for uv already stays.
"""

from __future__ import annotations

import ast
import math
import os
import ssl
import subprocess
import sys
from pathlib import Path

# pip's name: uv's, and what uv puts between several values.
NAMES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "client-cert": ("SSL_CLIENT_CERT", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
    "proxy": ("ALL_PROXY", " "),
    "no-index": ("REPRISE_NO_INDEX", " "),  # uv has no variable for it: scripts/uv.sh makes it an option
}
ALSO = {"default-timeout": "timeout"}
SECTIONS = ("global", "install", ":env:")  # each overrides those before it, as in pip


def settings(listed: str, given: dict[str, str]) -> dict[str, str]:
    """uv's environment for the output of `pip config list`."""
    ours = {}
    for section in SECTIONS:
        for line in listed.splitlines():
            key, _, value = line.partition("=")
            start, _, written = key.rpartition(".")
            name = ALSO.get(written, written)
            if start == section and name in NAMES:
                ours[name] = str(ast.literal_eval(value)).split()
    if "timeout" in ours:  # pip's seconds may have a fraction, uv's may not
        ours["timeout"] = [str(math.ceil(float(ours["timeout"][0])))]
    if ours.pop("no-index", ["false"])[0].lower() in ("1", "true", "yes", "on"):
        ours["no-index"] = ["1"]
    found = {NAMES[name][0]: NAMES[name][1].join(values) for name, values in ours.items() if values}
    # pip takes the best of all its indexes. uv would stop at the first that has a package of that name, which
    # is safer against a stranger's package and needless here: every file is locked by its hash.
    found.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    # As pip of today and Debian's pip: a company's own certificate is among the system's.
    if "SSL_CERT_FILE" not in found and Path(ssl.get_default_verify_paths().cafile or "/none").exists():
        found.setdefault("UV_SYSTEM_CERTS", "true")
    return {name: value for name, value in found.items() if name not in given}


def main() -> None:
    asked = [sys.executable, "-m", "pip", "config", "list"]
    done = subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=True)
    for name, value in settings(done.stdout, dict(os.environ)).items():
        print(f"{name}={value}")


if __name__ == "__main__":
    main()
