"""Bytes and names from a job, made safe for a terminal: no escapes, no controls, no bidi marks.

A job's output is untrusted: an escape sequence can rename the window, hide text, or answer for the
user; a bidi mark can make one file name look like another.
"""

from __future__ import annotations

import codecs
import re

from orchestrator.spec.shown_names import BIDI

HELD_SEQUENCE = 4096  # characters of an unfinished escape sequence kept back, at most
HELD_LINE = 1 << 16  # characters of an unfinished line kept back, at most

# Without the carriage return, which `_last_state` handles
_CONTROLS = f"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f{BIDI}\ud800-\udfff"
_ENDS = r"\x07\x1b\x9c\n"
_CONTROL_SEQUENCE = r"(?:(?<=\x1b)\[|(?<=\x9b))"
_STRING = r"(?:(?<=\x1b)[\]PX^_]|(?<=[\x90\x98\x9d-\x9f]))"
_TOKENS = re.compile(
    # With a class at its beginning `re` goes straight to the next such character. Without one it tries all
    # that follows at each character of a log, which takes a second for 8 MiB.
    rf"[{_CONTROLS}](?:"
    # Control sequences: ESC [ parameters intermediates final
    rf"{_CONTROL_SEQUENCE}[\x20-\x3f]*[\x40-\x7e]"
    # Strings (OSC, DCS, SOS, PM, APC): to their terminator, or to the end of the line
    rf"|{_STRING}[^{_ENDS}]*(?:\x07|\x1b\\|\x9c|(?=\n|\x1b[^\\]))"
    # Other escapes
    r"|(?<=\x1b)[\x20-\x2f]+[\x30-\x7e]|(?<=\x1b)(?![\[\]PX^_])[\x30-\x7e]"
    # What the next chunk may complete
    rf"|(?P<unfinished>(?:{_CONTROL_SEQUENCE}[\x20-\x3f]*|{_STRING}[^{_ENDS}]*\x1b?"
    r"|(?<=\x1b)[\x20-\x2f]*)\Z)"
    # A control sequence that broke off, or a single control character
    rf"|{_CONTROL_SEQUENCE}[\x20-\x3f]*|)"
)


class Cleaner:
    """Raw bytes of a log in any chunks -> clean text in complete lines.

    Of a line redrawn with carriage returns (a progress bar) the last state is kept. `partial` is the
    line that has not ended yet, as it looks now. Where chunks end does not change the result, except for
    sequences and lines longer than the bounds above.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._sequence = ""
        self._line = ""

    def feed(self, data: bytes) -> str:
        """The lines that these bytes complete, each with its newline."""
        return self._lines(self._strip(self._sequence + self._decoder.decode(data)))

    def close(self) -> str:
        """The last line, if it did not end; without a newline."""
        lines = self._lines(self._strip(self._sequence + self._decoder.decode(b"", final=True)))
        rest, self._line, self._sequence = lines + _last_state(self._line), "", ""
        return rest

    @property
    def partial(self) -> str:
        return _last_state(self._line)

    def _strip(self, text: str) -> str:
        self._sequence = ""

        def drop(match: re.Match[str]) -> str:
            if match.group("unfinished") is not None:
                self._sequence = match.group()
            return ""

        text = _TOKENS.sub(drop, text)
        if len(self._sequence) > HELD_SEQUENCE:
            self._sequence = ""
        return text

    def _lines(self, text: str) -> str:
        whole, newline, rest = text.rpartition("\n")
        if newline:
            whole, self._line = self._line + whole, rest
        else:
            self._line += rest
        if "\r" in whole:
            whole = "\n".join(map(_last_state, whole.split("\n")))
        done = whole + newline
        if len(self._line) > HELD_LINE:
            self._line = _current_state(self._line)
        if len(self._line) > HELD_LINE:
            done, self._line = done + _last_state(self._line), ""
        return done


def _last_state(line: str) -> str:
    """What a terminal would show of a line with carriage returns: its last text that is not empty."""
    return line.rstrip("\r").rpartition("\r")[2]


def _current_state(line: str) -> str:
    """The same for an open line: a trailing carriage return is kept, because more text may replace it."""
    return _last_state(line) + ("\r" if line.endswith("\r") else "")


def clean_text(text: str) -> str:
    """A message in several lines: sequences and controls dropped, newlines and tabs kept."""
    return _TOKENS.sub("", text).replace("\r", "")


def clean_line(text: str) -> str:
    """A name or a cell: as `clean_text`, in one line, each newline or tab a space."""
    return re.sub(r"[\n\t\u2028\u2029]", " ", clean_text(text))
