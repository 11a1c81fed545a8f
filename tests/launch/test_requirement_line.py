"""Requirements of strangers: what is taken is written anew from checked parts; nothing else gets through."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.base_python import PYTHON
from support.examples import tries

from orchestrator.launch.locking.requirement_line import read_line

SAFE = re.compile(r"[a-z0-9][a-z0-9-]*(\[[a-z0-9,-]+\])?([=!<>~]=?[0-9][0-9A-Za-z.*+!_-]*,?)*", re.ASCII)
PIECES = st.sampled_from(
    [
        *(
            "torch",
            "Foo_Bar.baz",
            "a",
            " ",
            "\t",
            "\n",
            "\r",
            "\\",
            "\0",
            "==",
            ">=",
            "~=",
            "===",
            "!=",
            ",",
            "*",
        ),
        *(
            "1.0",
            "2!1.0+cpu",
            "[x]",
            "[x,y]",
            ";",
            "python_version",
            "<",
            "'3.12'",
            '"',
            "extra == 'x'",
            "and",
        ),
        *(
            "-r",
            "-e",
            "--index-url",
            "=",
            "@",
            "http://user:pw@h/x.whl",
            "file:///etc/passwd",
            "git+https://h/r",
        ),
        *(
            "$HOME",
            "${AWS_SECRET_ACCESS_KEY}",
            "`id`",
            "$(id)",
            "#",
            "--hash=sha256:00",
            "(",
            ")",
            "%(x)s",
            "é",
            "\uff11",
        ),
    ]
)


@given(st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=80))
@settings(max_examples=tries(4000))
def test_any_text_is_a_safe_line_or_an_error(text: str) -> None:
    try:
        found = read_line(text, PYTHON)
    except ValueError as error:
        assert len(str(error)) < 600
        assert str(error).isprintable()
        assert ":pw@" not in str(error)
        return
    if found is not None:
        assert SAFE.fullmatch(found.line()), found.line()
        assert read_line(found.line(), PYTHON) == found


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Torch", "torch"),
        ("ruamel_yaml[Jinja2, b]>=1,<2", "ruamel-yaml[b,jinja2]<2,>=1"),
        ("a (>=1.0)", "a>=1.0"),
        ("a==2.13.0+cpu", "a==2.13.0+cpu"),
        ("a==2.9.*", "a==2.9.*"),
        ("a>1; python_version >= '3.9'", "a>1"),
        ("a; sys_platform == 'win32'", None),
        ("a; extra == 'dev'", None),
    ],
)
def test_what_is_taken(text: str, line: str | None) -> None:
    found = read_line(text, PYTHON)
    assert (None if found is None else found.line()) == line


@pytest.mark.parametrize(
    "text",
    [
        *(
            "-r other.txt",
            "--index-url=http://x",
            "-e .",
            ".",
            "./x",
            "/etc/passwd",
            "http://h/x.whl",
        ),
        *(
            "a @ http://h/a.whl",
            "a @ file:///a",
            "git+https://h/r",
            "a --hash=sha256:00",
            "a==1 --no-binary :all:",
        ),
        *(
            "a===1;x",
            "a=== ../x",
            "a==1\n-r b",
            "a\\\n-r b",
            "$HOME",
            "a==${V}",
            "a; python_version",
            "a" * 5000,
        ),
        *("a; python_version ~= 'x'", "a; os.name == 1", "", " ", "#", "a,b", "a[", "a==1 b==2"),
    ],
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_line(text, PYTHON)
