"""pip's settings in uv's words."""

from __future__ import annotations

from pathlib import Path

from orchestrator.launch.locking.index_settings import parse_settings, uv_environment, without_index

LIST = """\
:env:.find-links='/opt/wheels /other'
download.index-url='http://second/simple'
global.index-url='http://first/simple'
global.extra-index-url='file:///opt/a\\nhttp://user:pw@host/b'
global.trusted-host='host'
install.index-url='http://never/simple'
global.cert='/etc/ca.crt'
not a line
global.broken='
global.code=__import__('os')
"""


def made(host: dict[str, str], pip: dict[str, str], tmp_path: Path) -> dict[str, str]:
    return uv_environment(host, pip, tmp_path / "stubs", tmp_path)


def test_pip_s_list_is_read_by_the_precedence_of_download() -> None:
    assert parse_settings(LIST) == {
        "find-links": "/opt/wheels /other",
        "index-url": "http://second/simple",
        "extra-index-url": "file:///opt/a\nhttp://user:pw@host/b",
        "trusted-host": "host",
        "cert": "/etc/ca.crt",
    }


def test_settings_are_handed_over(tmp_path: Path) -> None:
    (tmp_path / "stubs").mkdir()
    (tmp_path / "a,b").mkdir()
    pip = {**parse_settings(LIST), "find-links": f"{tmp_path}/a,b {tmp_path}/absent http://h/links"}
    found = made(
        {"PATH": "/bin", "SECRET": "s", "UV_PYTHON": "x", "UV_INDEX_TEAM_PASSWORD": "p"}, pip, tmp_path
    )
    assert found == {
        "PATH": "/bin",
        "UV_INDEX_TEAM_PASSWORD": "p",
        "UV_DEFAULT_INDEX": "http://second/simple",
        "UV_INDEX": "file:///opt/a http://user:pw@host/b",
        "UV_INSECURE_HOST": "host",
        "SSL_CERT_FILE": "/etc/ca.crt",
        "UV_FIND_LINKS": f"file://{tmp_path}/a%2Cb,http://h/links,file://{tmp_path}/stubs",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_NO_CONFIG": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "TMPDIR": str(tmp_path),
    }


def test_uv_s_own_settings_come_first(tmp_path: Path) -> None:
    (tmp_path / "stubs").mkdir()
    host = {
        "UV_INDEX_URL": "http://mine/simple",
        "UV_INDEX": "http://more/simple",
        "SSL_CERT_FILE": "/mine.crt",
        "UV_INDEX_STRATEGY": "first-index",
        "UV_NO_CONFIG": "0",
    }
    found = made(host, parse_settings(LIST), tmp_path)
    assert found["UV_DEFAULT_INDEX"] == "http://mine/simple"
    assert found["UV_INDEX"] == "http://more/simple file:///opt/a http://user:pw@host/b"
    assert (found["SSL_CERT_FILE"], found["UV_INDEX_STRATEGY"]) == ("/mine.crt", "first-index")
    assert found["UV_NO_CONFIG"] == "1"


def test_no_index_and_a_keyring(tmp_path: Path) -> None:
    found = made({}, {"keyring-provider": "subprocess"}, tmp_path)
    assert found["UV_KEYRING_PROVIDER"] == "subprocess"
    assert without_index({"no-index": "true"})
    assert not without_index({"no-index": "0"})
    assert not without_index({})


def test_a_fraction_of_a_second_is_rounded_up_for_uv(tmp_path: Path) -> None:
    for said, handed in (("15.5", "16"), ("60", "60"), ("inf", "inf"), ("soon", "soon")):
        assert made({}, {"timeout": said}, tmp_path)["UV_HTTP_TIMEOUT"] == handed
