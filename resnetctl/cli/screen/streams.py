"""The two streams: results on stdout, everything else on stderr."""

import contextlib
import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TextIO, cast

from resnetctl.errors import WorkFailed

if TYPE_CHECKING:
    from resnetctl.report.base import Report

STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
PLAIN = str.maketrans("╭╮╰╯─│━▁▂▃▄▅▆▇█·–×", "++++-|=_..-=++#*-x", "…")


class _Aside:
    """A replacement for stdout while a command runs: results go to stdout, all other prints to stderr."""

    def __init__(self, results: TextIO) -> None:
        self.results = results

    def write(self, text: str) -> int:
        say(text.removesuffix("\n")) if text.strip() else None
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.results, name)


@contextlib.contextmanager
def reserved() -> Iterator[None]:
    """Keep stdout for results: a print of a plugin must not spoil a JSON document."""
    before = sys.stdout
    if before is not None:
        sys.stdout = cast("TextIO", _Aside(before))
    try:
        yield
    finally:
        sys.stdout = before


def result(text: str) -> None:
    """Write a line of results to stdout. Raises `WorkFailed` when stdout is closed, `OSError` when writing fails."""
    if sys.stdout is None:
        raise WorkFailed("the result cannot be written: stdout is closed")
    stream: TextIO = getattr(sys.stdout, "results", sys.stdout)
    stream.write(_encodable(text, stream) + "\n")


def document(values: Mapping[str, Any]) -> None:
    """Write the one JSON document of a command to stdout."""
    result(json.dumps(values, indent=2, default=str))


def report(result: "Report") -> None:
    """Write a report to stdout as the command's JSON document, which begins with the report's schema."""
    document(result.to_json())


def say(text: str) -> None:
    """Write a line for the user to stderr. A closed stderr does not stop the work."""
    if sys.stderr is not None:
        try:
            sys.stderr.write(_encodable(text, sys.stderr) + "\n")
            sys.stderr.flush()
        except OSError:
            pass


def printable(text: str) -> str:
    """Return the text with control characters made visible: names of files and classes come from others."""
    return CONTROLS.sub(lambda match: f"\\x{ord(match.group()):02x}", text)


def one_line(text: str) -> str:
    """Return the text as `printable` in one line, so that a name from others cannot forge a row or a column."""
    return printable(text.replace("\n", "\\n").replace("\t", "\\t"))


def folded(text: str, indent: str = "") -> list[str]:
    """Return the printable text in lines as wide as the terminal, broken between words only."""
    return textwrap.wrap(
        one_line(text), width(), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ) or [""]


def notice(text: str) -> str:
    """Return a sentence for the user: folded on a terminal, one line in a log."""
    return "\n".join(folded(text)) if is_terminal(sys.stderr) else one_line(text)


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether lines can be redrawn: the stream is a TTY that understands escapes."""
    return stream is not None and stream.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


def has_color(stream: TextIO | None) -> bool:
    """Return whether the stream shows colours."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def paint(text: str, style: str, *, stream: TextIO | None = None) -> str:
    """Return `text` in a style of `STYLES` when the stream (default: stdout) shows colours."""
    return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if text and has_color(stream or sys.stdout) else text


def width() -> int:
    """Return the columns of the terminal or of `COLUMNS`; 80 without a terminal."""
    return max(40, shutil.get_terminal_size((80, 24)).columns)


def _encodable(text: str, stream: TextIO) -> str:
    """Return the text in characters that the stream can encode: an ASCII locale must not end a long run."""
    encoding = stream.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(PLAIN).encode(encoding, "backslashreplace").decode(encoding)
    return text
