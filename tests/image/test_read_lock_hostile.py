"""A lock from anybody: what it says reaches no other program but as a name, a version, a hash, an address."""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.base_python import PYTHON
from support.local_server import Handler, LocalServer

from orchestrator.digest import Digest
from orchestrator.errors import InfrastructureError, UsageError
from orchestrator.image.wheels.fetch_wheels import WheelFile
from orchestrator.image.wheels.lock import Lock
from orchestrator.image.wheels.pip_download import command, pip_environment, requirement
from orchestrator.image.wheels.read_lock import read_lock

Fetch = Callable[..., tuple[WheelFile, ...]]
A = "a" * 64

# What pip would act on, were it to reach pip: each as a line, in a value, in the middle of another line.
HOSTILE = (
    "--no-index --no-binary evil",
    "--no-index --no-binary=:all:",
    "--only-binary :none:",
    "--only-binary=:all: --no-binary evil",
    "--require-hashes --no-binary :all:",
    "--pre --editable /tmp/evil",
    "--find-links dist --no-binary evil",
    "--find-links 'dist --no-binary evil",
    '--find-links "dist" "more"',
    "--find-links=",
    "-f dist -e .",
    "-fdist",
    "--index-url http://127.0.0.1:1/${AWS_SECRET_ACCESS_KEY}/simple",
    "--index-url=http://127.0.0.1:1/$HOME",
    "--index-url file:///tmp/simple",
    "--index-url ftp://127.0.0.1/simple",
    "--index-url http://127.0.0.1:1/ --global-option=x",
    "--extra-index-url http://h/\x1b[2J",
    "--extra-index-url http://h/ö",
    "--trusted-host 127.0.0.1",
    "--constraint x.txt",
    "-r other.txt",
    "-c ${HOME}/x",
    "--use-feature fast-deps",
    "--config-settings=a=b",
    "-e .",
    "evil @ file:///tmp/evil-1.0.tar.gz",
    "evil @ git+file:///tmp/evil",
    f"evil==1.0 --hash=sha256:{A} --config-settings=x=y",
    f"evil==1.0 --hash=sha256:{A} --global-option=x",
    f"evil==1.0\x0b--no-binary=:all: --hash=sha256:{A}",
    f"evil==1.0\x85--no-binary=:all: --hash=sha256:{A}",
    f"evil==1.0\u2028--no-binary=:all: --hash=sha256:{A}",
    f"evil==1.0\r--no-binary=:all: --hash=sha256:{A}",
    f"evil===1.0;--no-binary --hash=sha256:{A}",
    f"evil==${{X}} --hash=sha256:{A}",
    f"e\u017fvil==1 --hash=sha256:{A}",
    f"evil==1.po\u017ft1 --hash=sha256:{A}",
    f"evil==\u0661.0 --hash=sha256:{A}",
    f"evil=={'9' * 5000} --hash=sha256:{A}",
    f"evil==1 ; {'(' * 3000}python_version > '3'{')' * 3000} --hash=sha256:{A}",
)


def check(lock: Lock) -> None:
    """Everything of a lock that pip is given has its form, and is one word or one line."""
    room = Path("/room")
    for word in command(lock, room / "found", room, PYTHON)[4:]:
        assert re.fullmatch(r"download|--[a-z-]+(=[!-#%-~]+)?", word), word
        assert "binary" not in word or word == "--only-binary=:all:"
    for pin in lock.pins:
        line = requirement(pin)
        assert re.fullmatch(
            r"[a-z0-9-]+(==[a-z0-9.!+]+| @ https?://[^\s\"'#$;]+)( --hash=sha256:[0-9a-f]{64})+", line
        )
        if pin.address is not None:
            assert pin.address.partition("?")[0].endswith(".whl")
        if pin.file is not None:
            assert pin.file.suffix == ".whl"


def tried(name: str, data: bytes) -> Lock | None:
    """What is read of a lock's bytes; None where it is refused, in a message that can be printed."""
    try:
        lock = read_lock(Path("/job") / name, PYTHON, data)
    except UsageError as error:
        assert error.message.replace("\n", "").isprintable()
        return None
    check(lock)
    return lock


@pytest.mark.parametrize("line", HOSTILE)
def test_no_line_says_more_than_where_and_what(line: str) -> None:
    assert tried("requirements.txt", f"good==1 --hash=sha256:{A}\n{line}\n".encode()) is None
    tried("requirements.txt", f"good==1 --hash=sha256:{A} \\\n {line}\n".encode())
    tried("requirements.txt", f"--find-links {line}\n".encode())


PIECES = st.one_of(
    st.sampled_from(HOSTILE),
    st.sampled_from(
        ["good==1", f"--hash=sha256:{A}", "\\\n", "\n", " ", "#", "=", "; python_version>'3'", "@"]
    ),
    st.sampled_from(
        ["--index-url", "--find-links", "--no-index", "http://h/simple", "dist", "file:///x", "${X}"]
    ),
    st.text(max_size=5),
)


@given(st.lists(PIECES, max_size=8).map(lambda parts: "".join(parts).encode("utf-8", "surrogatepass")))
def test_any_mixture_is_refused_or_harmless(data: bytes) -> None:
    tried("requirements.txt", data)


@given(st.binary(max_size=60))
@example(b"a = " + b"[" * 5000)
@example(b"a = " + b"9" * 5000)
@example(b'lock-version = "1.0"\ncreated-by = "x"\npackages = []\nrequires-python = "' + b"9" * 5000 + b'"')
def test_any_bytes_are_refused_or_harmless(data: bytes) -> None:
    for name in ("requirements.txt", "pylock.toml"):
        tried(name, data)


WHEEL = "evil-1.0-py3-none-any.whl"
URLS = (
    f"https://h/{WHEEL}",
    f"https://h/{WHEEL}#sha256={A}",
    f"https://h/{WHEEL}?token=1",
    f"file:///tmp/{WHEEL}",
    f"file://localhost/tmp/{WHEEL}",
    f"file://elsewhere/tmp/{WHEEL}",
    "file:///tmp/evil-1.0.tar.gz",
    f"file:///tmp/evil-1.0.tar.gz#{WHEEL}",
    f"file:///tmp/evil-1.0.tar.gz#egg=evil --hash=sha256:{A}\n--no-binary :all:\n",
    f"https://h/evil-1.0.tar.gz?{WHEEL}",
    f"https://h/evil-1.0.tar.gz#/{WHEEL}",
    f"https://h/x%2F..%2F{WHEEL}",
    "https://h/evil-1.0-py3.%0A--no-binary-none-any.whl",
    "https://h/evil-1.0-py3.%2F..%2Fx-none-any.whl",
    f"https://h/${{HOME}}/{WHEEL}",
    f"git+https://h/{WHEEL}",
    f"HTTPS://h/{WHEEL}",
    f"https://h /{WHEEL}",
    f"https://h/\u2028{WHEEL}",
    f"https://{WHEEL}",
    f"https://user:pw@h:99999999/{WHEEL}",
    "",
)


def pylock(**fields: object) -> bytes:
    """A pylock.toml with one package and one wheel. JSON's strings are TOML's, but for DEL."""
    wheel = {"name": None, "url": None, "path": None, "hash": A} | fields
    text = {
        key: json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f") for key, value in wheel.items()
    }
    package, version = text.pop("package", '"evil"'), text.pop("version", '"1.0"')
    lines = ['lock-version = "1.0"', 'created-by = "x"', "[[packages]]", f"name = {package}"]
    lines += [f"version = {version}"] if version != "null" else []
    lines += ["[[packages.wheels]]", f"hashes = {{sha256 = {text.pop('hash')}}}"]
    lines += [f"{key} = {value}" for key, value in text.items() if value != "null"]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("url", URLS)
def test_only_a_wheel_by_its_own_name_is_asked_for(url: str) -> None:
    for name in (None, WHEEL):
        lock = tried("pylock.toml", pylock(name=name, url=url))
        harmless = url in URLS[:5] or url.startswith("HTTPS")
        assert (lock is not None) == harmless
        if lock is not None and lock.pins[0].address is not None:
            assert lock.pins[0].address.startswith(f"https://h/{WHEEL}")


@pytest.mark.parametrize(
    "fields",
    [
        {"package": "evil --no-binary"},
        {"package": "other"},
        {"version": "2.0"},
        {"version": "1.0 --no-binary"},
        {"hash": "A" * 64},
        {"hash": f"{A} --no-binary :all:"},
        {"hash": f"{A}\n"},
        {"hash": ""},
        {"name": "evil-1.0.tar.gz"},
        {"name": "evil-1.0-py2-none-any.whl"},
    ],
)
def test_a_pylocks_fields_have_their_forms(fields: dict[str, object]) -> None:
    assert tried("pylock.toml", pylock(**{"url": f"https://h/{WHEEL}"} | fields)) is None
    assert tried("pylock.toml", pylock(**{"path": f"dist/{WHEEL}"} | fields)) is None


ANY = st.one_of(
    st.none(), st.sampled_from(URLS), st.sampled_from([WHEEL, "evil", "1.0", A]), st.text(max_size=8)
)


@given(name=ANY, url=ANY, path=ANY, version=ANY, package=ANY, digest=ANY)
def test_any_pylock_is_refused_or_harmless(digest: object, **fields: object) -> None:
    tried("pylock.toml", pylock(**fields, hash=digest or A))


@given(st.dictionaries(st.from_regex(r"[A-Za-z_]{1,30}", fullmatch=True), st.text(max_size=5)))
def test_only_how_to_reach_an_index_is_passed_on(host: dict[str, str]) -> None:
    secrets = {
        "AWS_SECRET_ACCESS_KEY": "s",
        "REPRISE_DATABASE_URL": "s",
        "PYTHONPATH": "s",
        "LD_PRELOAD": "s",
    }
    secrets |= {"PIP_NO_BINARY": "s", "PIP_REQUIREMENT": "s", "PIP_CONSTRAINT": "s", "PIP_PREFIX": "s"}
    kept = pip_environment(host | secrets | {"PIP_INDEX_URL": "i", "https_proxy": "p"}, Path("/room"))
    assert not secrets.keys() & kept.keys()
    assert (kept["PIP_INDEX_URL"], kept["https_proxy"], kept["TMPDIR"]) == ("i", "p", "/room")


class Index(LocalServer):
    """An index of a lock's choice; it keeps the requests that it got."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        self.asked: list[str] = []
        super().__init__(Answer)


class Answer(Handler):
    server: Index

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.path}\n{self.headers}")
        body = self.server.answers.get(self.path)
        kind = "text/html" if self.path.endswith("/") else "application/zip"
        self.say(200 if body is not None else 404, body or b"", {"Content-Type": kind})


@pytest.fixture
def index() -> Iterator[Index]:
    with Index() as server:
        yield server


@pytest.fixture(autouse=True)
def pip_asks_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("SECRET_OF_MINE", "s3cret-of-mine")


def sdist(marker: Path) -> bytes:
    """A source distribution whose build, and whose metadata, would leave a file behind."""
    backend = f"open({str(marker)!r}, 'w').write('code of the sdist ran')\n"
    files = {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "b"\nbackend-path = ["."]\n',
        "b.py": backend,
        "setup.py": backend,
        "PKG-INFO": "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n",
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"evil-1.0/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def test_an_index_of_the_locks_choice_learns_names_and_builds_nothing(
    fetch: Fetch, tmp_path: Path, index: Index
) -> None:
    marker = tmp_path / "ran"
    data = sdist(marker)
    index.answers = {
        "/simple/evil/": b'<a href="/evil-1.0.tar.gz">evil-1.0.tar.gz</a>',
        "/evil-1.0.tar.gz": data,
    }
    lock = tmp_path / "requirements.txt"
    lock.write_text(f"--index-url {index.address}/simple\nevil==1.0 --hash=sha256:{Digest.of(data).hex}\n")
    with pytest.raises(UsageError, match=r"evil==1\.0"):
        fetch(lock)
    assert [asked.partition("\n")[0] for asked in index.asked] == ["/simple/evil/"]
    assert "s3cret" not in "".join(index.asked)
    assert not marker.exists()


def test_a_wheel_by_its_address_is_fetched_as_it_is_locked(
    fetch: Fetch, tmp_path: Path, index: Index, make_wheel: Any
) -> None:
    wheel = make_wheel("evil")
    index.answers = {f"/{wheel.name}": wheel.read_bytes()}
    lock = tmp_path / "pylock.toml"
    lock.write_bytes(pylock(url=f"{index.address}/{wheel.name}#egg=other", hash=Digest.of_file(wheel).hex))
    (found,) = fetch(lock)
    assert found.filename == wheel.name
    lock.write_bytes(pylock(url=f"{index.address}/{wheel.name}", hash="0" * 64))
    with pytest.raises(InfrastructureError, match="other bytes"):
        fetch(lock)


def test_a_source_under_the_name_of_a_wheel_is_not_built(fetch: Fetch, tmp_path: Path, index: Index) -> None:
    marker = tmp_path / "ran"
    data = sdist(marker)
    index.answers = {f"/{WHEEL}": data}
    lock = tmp_path / "pylock.toml"
    lock.write_bytes(pylock(url=f"{index.address}/{WHEEL}", hash=Digest.of(data).hex))
    with pytest.raises(UsageError):
        fetch(lock)
    assert not marker.exists()


@pytest.mark.parametrize("kind", ["fifo", "link", "folder"])
def test_what_is_no_plain_file_is_not_waited_for(fetch: Fetch, tmp_path: Path, kind: str) -> None:
    def put(path: Path) -> None:
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "link":
            path.symlink_to("/dev/zero")
        else:
            path.mkdir()

    dist = tmp_path / "dist"
    dist.mkdir()
    put(dist / WHEEL)
    lock = tmp_path / "requirements.txt"
    lock.write_text(f"--no-index\n--find-links dist\nevil==1.0 --hash=sha256:{A}\n")
    with pytest.raises(UsageError, match="not a plain file"):
        fetch(lock)
    (tmp_path / "pylock.toml").write_bytes(pylock(path=f"dist/{WHEEL}"))
    with pytest.raises(UsageError, match="not a plain file"):
        fetch(tmp_path / "pylock.toml")
    lock.unlink()
    put(lock)
    with pytest.raises(UsageError, match="not a plain file"):
        fetch(lock)
