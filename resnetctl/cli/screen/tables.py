"""Print tables and numbers: aligned on a terminal, tab-separated and complete in a pipe."""

import sys
import textwrap
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from resnetctl.cli.screen import streams
from resnetctl.config.duration import spoken

if TYPE_CHECKING:
    from resnetctl.spec import Measured

GAP = "  "


def table(header: Sequence[str], rows: Iterable[Sequence[object]], *, drop: Sequence[str] = ()) -> None:
    """Print rows under a header; a pipe gets all columns, tab-separated.

    On a terminal, the columns in `drop` are left out in this order until the table is narrow enough, and named below
    it. The last column is wrapped.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    if not (sys.stdout is not None and sys.stdout.isatty()):
        for row in [list(header), *cells]:
            streams.result("\t".join(row))
        return
    shown, gone = [list(header), *cells], []
    for name in drop:
        if _table_width(shown) > streams.width():
            gone.append(name)
            place = shown[0].index(name)
            shown = [[*row[:place], *row[place + 1 :]] for row in shown]
    for line in aligned(shown[0], shown[1:], width=streams.width()):
        streams.result(line)
    if gone:
        streams.say(streams.notice(f"no room for {', '.join(gone)}; --json has all columns"))


def folded(header: Sequence[str], rows: Iterable[Sequence[object]], *, at: int) -> None:
    """Print a table, as two tables on a terminal that is too narrow for it; a pipe gets one.

    Args:
        at: the first column of the second table, which begins with the first column, too.
    """
    kept = list(rows)
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    if not is_terminal or _table_width([list(header), *([*map(_cell, row)] for row in kept)]) <= streams.width():
        table(header, kept)
        return
    table(header[:at], [row[:at] for row in kept])
    streams.result("")
    table([header[0], *header[at:]], [[row[0], *row[at:]] for row in kept])


def _table_width(rows: Sequence[Sequence[str]]) -> int:
    return sum(max(map(_width, column)) + len(GAP) for column in zip(*rows, strict=True)) - len(GAP)


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], *, width: int) -> list[str]:
    """Return the lines of a table of `width` characters. Only the last column is wrapped."""
    columns = [max(_width(row[place]) for row in [header, *rows]) for place in range(len(header))]
    left = sum(columns[:-1]) + len(GAP) * (len(columns) - 1)
    room = max(20, width - left)
    lines = [GAP.join(_pad(name, size) for name, size in zip(header, columns, strict=True)).rstrip()]
    lines = [streams.paint(line, "bold") for line in lines]
    for row in rows:
        first, *rest = textwrap.wrap(row[-1], room, break_on_hyphens=False, break_long_words=False) or [""]
        cells = [_pad(value, size) for value, size in zip(row[:-1], columns[:-1], strict=True)]
        lines.append(GAP.join([*cells, first]).rstrip())
        lines += [" " * left + more for more in rest]
    return lines


def pairs(rows: Iterable[tuple[str, object]]) -> None:
    """Print `name   value` lines; None is left out, a long value is wrapped."""
    shown = [(name, _cell(value)) for name, value in rows if value is not None]
    column = max((_width(name) for name, _ in shown), default=0)
    wide = sys.stdout is not None and sys.stdout.isatty()
    for name, text in shown:
        room = max(20, streams.width() - column - 2) if wide else sys.maxsize
        first, *rest = textwrap.wrap(text, room, break_on_hyphens=False, break_long_words=False) or [""]
        streams.result((streams.paint(_pad(name, column), "dim") + GAP + first).rstrip())
        for more in rest:
            streams.result(" " * (column + 2) + more)


def rate(lr: float) -> str:
    """Return a learning rate in seven characters: `0.0981`, `6.2e-07`."""
    return f"{lr:.4f}" if lr == 0 or lr >= 0.001 else f"{lr:.1e}"


def percent(fraction: float | None, digits: int = 1) -> str:
    """Return `91.9 %`, or a dash for None."""
    return "-" if fraction is None else f"{100 * fraction:.{digits}f} %"


def interval(low: float, high: float) -> str:
    """Return `91.8-92.9`, in percent."""
    return f"{100 * low:.1f}-{100 * high:.1f}"


def looks(models: int, interval_of_all: tuple[float, float] | None) -> str | None:
    """Return how many networks a test split has judged, None for the first."""
    if models < 2:
        return None
    between = "" if interval_of_all is None else f"; interval for all of them {interval(*interval_of_all)}"
    return f"{count(models)} networks on this test{between}"


def net_classes(measured: "Measured") -> tuple[list[str], list[tuple[object, ...]]]:
    """Return header and rows of the numbers of each class, with the interval of the first one."""
    from resnetctl.spec.dense import class_numbers

    columns = class_numbers(measured.per_class)
    rows = [
        (
            row["name"],
            *(percent(row[key]) for key in columns),
            "-" if row.get("interval") is None else interval(*row["interval"]),
            count(row["count"]),
        )
        for row in measured.per_class
    ]
    return ["class", *columns, "95 % interval", measured.unit], rows


def count(number: float) -> str:
    """Return `272,474`."""
    return f"{number:,.0f}"


def size(number: float) -> str:
    """Return `1.1 MB`."""
    if number < 1000:
        return f"{number:.0f} B"
    for unit in ("kB", "MB"):
        number /= 1000
        if number < 1000:
            return f"{number:.1f} {unit}"
    return f"{number / 1000:.1f} GB"


def duration(seconds: float) -> str:
    """Return `3.1 s`, `1 min 38 s`, `2 h 05 min`."""
    return spoken(seconds)


def clock(seconds: float) -> str:
    """Return `0:01:04`."""
    return str(timedelta(seconds=max(0, round(seconds))))


def brief(seconds: float) -> str:
    """Return a duration for a narrow column: `3.1 s`, `1:04`, `1:01:04`."""
    return f"{seconds:.1f} s" if seconds < 60 else clock(seconds).removeprefix("0:").lstrip("0")


def moment(utc: str) -> str:
    """Return `2026-11-25 23:08`, in local time."""
    try:
        return f"{datetime.fromisoformat(utc).astimezone():%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):  # also for years outside of the calendar
        return utc


def short(path: Path) -> str:
    """Return the path relative to the current folder if it is inside."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _cell(value: object) -> str:
    return streams.one_line("" if value is None else str(value))


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _pad(text: str, size: int) -> str:
    return text + " " * (size - _width(text))
