"""Tells where in a shell command a quoted value would be read as one word.

A placeholder's value brings its own quotes, so it may not stand inside others. Follows bash's rules for where
quotes begin and end; what is inside `$(...)` is a command of its own, even within double quotes.
"""

from __future__ import annotations

import re
from enum import StrEnum

_HERE = re.compile(r"<<-?[ \t]*(?P<word>(?:\\.|'[^'\n]*'|\"[^\"\n]*\"|[^\s;&|<>()'\"\\])+)")


class ShellContext(StrEnum):
    """What a character of a command stands in."""

    WORD = "a word"
    SINGLE = "single quotes"
    DOUBLE = "double quotes"
    BACKQUOTES = "backquotes"
    ARITHMETIC = "arithmetic"
    HERE = "a here-document"
    ESCAPED = "the reach of a backslash"
    COMMENT = "a comment"


def contexts(text: str) -> list[ShellContext]:
    """What each character of a command stands in."""
    return _ShellReader(text).read()


class _ShellReader:
    """One pass over a command. `_open` holds the marks that are open: `(`, `"`, `` ` ``, `((`, `{`."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._open: list[str] = []
        # For each open mark: the context of a character in it; whether the innermost quotes are double
        # (`${...}` is skipped); whether a backquote is open. Without this a command of 20 kB took 19 s.
        self._states: list[tuple[ShellContext, bool, bool]] = []
        self._where: list[ShellContext] = []
        self._here: list[tuple[str, bool]] = []  # end words of here-documents to come; whether tabs go

    def read(self) -> list[ShellContext]:
        while self._at < len(self._text):
            self._step()
        return self._where

    def _step(self) -> None:
        letter, top = self._text[self._at], self._open[-1] if self._open else ""
        quoted = self._in_double()
        if letter == "\\":
            self._take(1)
            self._take(1, ShellContext.ESCAPED)
        elif letter == "'" and not quoted and top != "((":
            self._single()
        elif letter == '"':
            self._take(1)
            self._toggle('"')
        elif letter == "`":
            self._take(1)
            self._toggle("`")
        elif letter == "$" and self._dollar():
            pass
        elif quoted and top != "{":
            self._take(1)
        else:
            self._plain(letter, top)

    def _plain(self, letter: str, top: str) -> None:
        """Outside of quotes, or within `${...}`."""
        starts = self._at == 0 or self._text[self._at - 1] in " \t\n;&|()"
        here = _HERE.match(self._text, self._at) if top != "((" and letter == "<" else None
        if letter == "#" and starts and top not in ("{", "(("):
            end = self._text.find("\n", self._at)
            self._take((len(self._text) if end < 0 else end) - self._at, ShellContext.COMMENT)
        elif self._text.startswith("<<<", self._at):
            self._take(3)
        elif here is not None:
            word = re.sub(r"\\(.)|['\"]", r"\1", here["word"])
            self._here.append((word, here[0].startswith("<<-")))
            self._take(len(here[0]))
        elif letter == "\n":
            self._take(1)
            self._bodies()
        elif letter == "(" and starts and self._text.startswith("((", self._at) and top != "((":
            self._take(2)
            self._enter("((")
        elif letter == "(":
            self._take(1)
            self._enter("(")
        elif letter == ")" and top in ("(", "(("):
            self._leave(len(self._open) - 1)
            self._take(2 if top == "((" and self._text.startswith("))", self._at) else 1)
        else:
            self._take(1)
            if letter == "}" and top == "{":
                self._leave(len(self._open) - 1)

    def _dollar(self) -> bool:
        """`$((`, `$(`, `${` and, outside of quotes, `$'...'`; False for a plain `$`."""
        for start, mark in (("$((", "(("), ("$(", "("), ("${", "{")):
            if self._text.startswith(start, self._at):
                self._take(len(start))
                self._enter(mark)
                return True
        if self._text.startswith("$'", self._at) and not self._in_double():
            end = re.compile(r"\$'(?:\\.|[^'\\])*'?", re.DOTALL).match(self._text, self._at)
            self._take(len(end[0]) if end else 1, ShellContext.SINGLE)
            return True
        return False

    def _single(self) -> None:
        end = self._text.find("'", self._at + 1)
        self._take((len(self._text) if end < 0 else end + 1) - self._at, ShellContext.SINGLE)

    def _toggle(self, mark: str) -> None:
        """A quote closes the open one of this command, and all that is open inside it; else it opens one."""
        for depth in range(len(self._open) - 1, -1, -1):
            if self._open[depth] == mark:
                self._leave(depth)
                return
            if mark == "`" and not self._states[-1][2]:
                break
            if self._open[depth] in ("(", "((", "`", "{") and mark == '"':
                break
        self._enter(mark)

    def _in_double(self) -> bool:
        return bool(self._states) and self._states[-1][1]

    def _enter(self, mark: str) -> None:
        place, double, ticked = self._states[-1] if self._states else (ShellContext.WORD, False, False)
        if mark == "(" and place is not ShellContext.BACKQUOTES:
            place = ShellContext.WORD
        place = {"`": ShellContext.BACKQUOTES, '"': ShellContext.DOUBLE, "((": ShellContext.ARITHMETIC}.get(
            mark, place
        )
        self._open.append(mark)
        self._states.append((place, double if mark == "{" else mark == '"', ticked or mark == "`"))

    def _leave(self, depth: int) -> None:
        del self._open[depth:], self._states[depth:]

    def _take(self, count: int, place: ShellContext | None = None) -> None:
        if place is None:
            place = self._states[-1][0] if self._states else ShellContext.WORD
        self._where += [place] * min(count, len(self._text) - self._at)
        self._at += count

    def _bodies(self) -> None:
        """Reads the here-documents that the line before has announced."""
        for word, tabs in self._here:
            while self._at < len(self._text):
                end = self._text.find("\n", self._at)
                end = len(self._text) if end < 0 else end + 1
                line = self._text[self._at : end].removesuffix("\n")
                self._take(end - self._at, ShellContext.HERE)
                if (line.lstrip("\t") if tabs else line) == word:
                    break
        self._here.clear()
