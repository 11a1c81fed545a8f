"""pip's settings as uv's: a machine that is set up for pip needs nothing more."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from support.programs import load_program, ran

REPO = Path(__file__).resolve().parents[1]


pip_settings = load_program(REPO / "scripts" / "pip_settings.py")


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("global.index-url='http://mirror/simple'", {"UV_DEFAULT_INDEX": "http://mirror/simple"}),
        (
            "global.extra-index-url='http://a http://b\\n  file:///c'",
            {"UV_INDEX": "http://a http://b file:///c"},
        ),
        (":env:.find-links='/wheels http://more'", {"UV_FIND_LINKS": "/wheels,http://more"}),
        ("global.trusted-host='a b'", {"UV_INSECURE_HOST": "a b"}),
        ("global.cert='/x.pem'\ninstall.cert='/y.pem'", {"SSL_CERT_FILE": "/y.pem"}),
        (":env:.cert='/z.pem'\nglobal.cert='/x.pem'", {"SSL_CERT_FILE": "/z.pem"}),
        (":env:.default-timeout='180'", {"UV_HTTP_TIMEOUT": "180"}),
        ("global.proxy='http://proxy:3128'", {"ALL_PROXY": "http://proxy:3128"}),
        ("global.no-index='true'", {"REPRISE_NO_INDEX": "1"}),
        ("global.no-index='true'\n:env:.no-index='0'", {}),
        ("download.index-url='http://other'\nfreeze.find-links='/x'", {}),
        ("global.index-url=''", {}),
    ],
)
def test_each_setting_becomes_uvs(listed: str, expected: dict[str, str]) -> None:
    found = pip_settings.settings(listed, {})
    assert found.pop("UV_INDEX_STRATEGY") == "unsafe-best-match"
    found.pop("UV_SYSTEM_CERTS", None)
    assert found == expected


def test_what_is_set_for_uv_stays() -> None:
    given = {
        "UV_DEFAULT_INDEX": "http://mine",
        "UV_INDEX_STRATEGY": "first-index",
        "UV_SYSTEM_CERTS": "false",
    }
    assert pip_settings.settings("global.index-url='http://mirror/simple'", given) == {}


def test_a_files_settings_and_the_environments_arrive(tmp_path: Path) -> None:
    """Of pip itself, as `scripts/uv.sh` asks it."""
    file = tmp_path / "pip.conf"
    file.write_text(
        "[global]\nindex-url = http://mirror/simple\nextra-index-url =\n    http://a\n    http://b\n"
    )
    given = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path)}
    environ = {**given, "PIP_CONFIG_FILE": str(file), "PIP_FIND_LINKS": "/wheels /more"}
    done = ran(sys.executable, str(REPO / "scripts" / "pip_settings.py"), env=environ)
    lines = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert lines["UV_DEFAULT_INDEX"] == "http://mirror/simple"
    assert lines["UV_INDEX"] == "http://a http://b"
    assert lines["UV_FIND_LINKS"] == "/wheels,/more"


def test_a_fraction_of_a_second_is_rounded_up_for_uv() -> None:
    assert pip_settings.settings("global.timeout='15.5'", {})["UV_HTTP_TIMEOUT"] == "16"
