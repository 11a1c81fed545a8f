"""Options that several verbs share, and how their values are read."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from orchestrator.errors import UsageError
from orchestrator.spec.sizes import parse_size, parse_span
from orchestrator.typed_path import path_to_write, refuse_too_long, typed_path

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document; errors as JSON on standard error."
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print the result only, in one line.")


class PathType(click.Path):
    """A path as it is typed. An empty one, as of `"$DATA"` that is not set, would be the current folder.

    UsageError for what no file can be called.
    """

    def __init__(self, *, file_okay: bool = True, dir_okay: bool = True) -> None:
        super().__init__(file_okay=file_okay, dir_okay=dir_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and not value.strip():
            self.fail("an empty path; a variable in it may be unset", param, ctx)
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        refuse_too_long(path)
        return path


def read_pairs(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """`NAME=VALUE` options as a dict. The value may be empty and may hold more `=`.

    A name given twice is an error, because either could be meant.
    """
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{text!r} is not of the form NAME=VALUE", ctx, param)
        if name in pairs:
            raise click.BadParameter(f"{name} is given more than once", ctx, param)
        pairs[name] = value
    return pairs


def read_paths(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> dict[str, Path]:
    return {
        name: typed_path(text, f"{_typed(param)} {name}")
        for name, text in read_pairs(ctx, param, texts).items()
    }


def read_places(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """`NAME=PATH` options, in which a path may be a reference such as `run:RUN/model.pt`."""
    from orchestrator.spec.jobfile.input_reference import input_place

    return {
        name: input_place(text, f"{_typed(param)} {name}")
        for name, text in read_pairs(ctx, param, texts).items()
    }


def _typed(param: click.Parameter) -> str:
    """An option as it is typed."""
    return param.opts[0]


def new_path(_ctx: click.Context, _param: click.Parameter, path: Path | None) -> Path | None:
    """A file or folder that a verb will write, as an absolute path. UsageError as of `path_to_write`."""
    return None if path is None else path_to_write(path)


def refuse_existing(path: Path | None, force: bool | None) -> None:
    """UsageError, before any work, where something would be replaced that nobody said to replace.

    `force`: what was said; None where there is no such option. A folder is never replaced by a file.
    """
    if path is not None and force is not None and path.is_dir():
        raise UsageError(f"{path} is a folder", "name the file that is to be written in it")
    if path is not None and os.path.lexists(path) and not force:
        how = "name another path" if force is None else "name another file, or --force replaces it"
        raise UsageError(f"{path} is there already", how)


def parse_since(text: str, now: datetime | None = None) -> datetime:
    """`2d`, `3h`, `30m`, or an ISO date or time (local where it names no zone) -> UTC.

    Raises ValueError for anything else.
    """
    try:
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except ValueError:
        if text.strip().isdigit():  # 2026 would be half an hour ago
            raise
        try:
            return (now or datetime.now(UTC)) - timedelta(seconds=parse_span(text))
        except OverflowError:
            raise ValueError(f"{text!r} is before all time") from None


def _reader(parse: Callable[[str], T], what: str) -> Callable[..., T | None]:
    """A callback for an option whose text `parse` reads; it raises ValueError for others."""

    def read(ctx: click.Context, param: click.Parameter, text: str | None) -> T | None:
        try:
            return None if text is None else parse(text)
        except (ValueError, OverflowError) as error:
            raise click.BadParameter(f"{text!r} is not {what}", ctx, param) from error

    return read


read_since = _reader(parse_since, "a span such as 2d or 3h, or an ISO date")  # a UTC datetime
read_size = _reader(parse_size, "a size such as 512MiB or 8GiB")  # bytes
read_span = _reader(parse_span, "a time such as 90s or 2h")  # seconds


rehash_option = click.option(
    "--rehash", is_flag=True, help="Read each file of an input again, also where it seems unchanged."
)


def spec_options(function: F) -> F:
    """What `submit` and `build` take: the spec, and what is changed in it."""
    decorators = [
        click.argument("spec", type=PathType()),
        click.option(
            "-p",
            "--param",
            "params",
            metavar="NAME=VALUE",
            multiple=True,
            callback=read_pairs,
            help="Change a parameter of the spec; may be given several times.",
        ),
        click.option("--seed", type=click.IntRange(0, (1 << 32) - 1), help="Change the seed of the spec."),
        click.option(
            "--input",
            "inputs",
            metavar="NAME=PATH",
            multiple=True,
            callback=read_places,
            help="Take an input of the spec from here: a path, data:NAME or run:RUN/PATH.",
        ),
        click.option("--require-clean", is_flag=True, help="Refuse source that differs from its git commit."),
    ]
    for decorate in reversed(decorators):
        function = decorate(function)
    return function
