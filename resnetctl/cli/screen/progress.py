"""Show lines and a footer below them on stderr; the footer is redrawn."""

import sys
import time
from collections.abc import Callable, Generator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, cast

from resnetctl.cli.screen import shell_hints, streams, tables

if TYPE_CHECKING:
    from resnetctl.facts import Notice, Progress

Result = TypeVar("Result")
REDRAW_SECONDS = 0.25
BAR, REST = "━", " "
SPARKS = "▁▂▃▄▅▆▇█"


class Screen:
    """Lines above a footer on a terminal, lines only elsewhere."""

    def __init__(self) -> None:
        self.live = streams.is_terminal(sys.stderr)
        self._footer = 0
        self._drawn = float("-inf")
        self._doing = ""
        self._done = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def line(self, text: str) -> None:
        """Print a line that stays."""
        self.clear()
        streams.say(text)

    def footer(self, lines: Callable[[], Sequence[str]], *, now: bool = False) -> None:
        """Redraw the footer, at most four times a second unless `now`. Calls `lines` only to redraw."""
        if not self.live or (not now and time.monotonic() - self._drawn < REDRAW_SECONDS):
            return
        texts = [text[: streams.width() - 1] for text in lines()]
        self.clear()
        streams.say("\n".join(texts))
        self._footer, self._drawn = len(texts), time.monotonic()

    def clear(self) -> None:
        """Remove the footer."""
        if self._footer:
            sys.stderr.write(f"\x1b[{self._footer}F\x1b[J")
            sys.stderr.flush()
        self._footer = 0
        self._drawn = float("-inf")

    def progress(self, fact: "Progress") -> None:
        """Show a bar on a terminal; elsewhere a line at the start and one at the end."""
        if fact.what != self._doing:
            self._doing, self._done = fact.what, False
            if not self.live:
                streams.say(f"{streams.one_line(fact.what)} ...")
        if fact.total is None or fact.done < fact.total:
            self.footer(lambda: [progress_line(fact, streams.width())])
        elif not self._done:
            self._done = True
            self.line(f"{streams.one_line(fact.what)}: {_amount(fact.done, fact.unit)}")


def progress_line(fact: "Progress", width: int) -> str:
    """Return `reading photos ━━━━━    12,000/60,000 images`."""
    total = "" if fact.total is None else f"/{_amount(fact.total, fact.unit)}"
    done = _amount(fact.done, fact.unit) if fact.total is None or fact.unit == "B" else tables.count(fact.done)
    text = f"{done}{total}"
    room = min(30, width - len(fact.what) - len(text) - 4)
    share = fact.done / fact.total if fact.total else 0.0
    middle = bar(share, room) + " " if fact.total else ""
    return f"{fact.what} {middle}{text}"


def bar(share: float, room: int) -> str:
    """Return a bar of `room` characters, filled to `share`."""
    filled = round(max(0.0, min(1.0, share)) * max(0, room))
    return BAR * filled + REST * (room - filled)


def sparkline(values: Sequence[float], room: int) -> str:
    """Return the last `room` values as small bars between their minimum and maximum."""
    shown = list(values)[-room:]
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    scale = (len(SPARKS) - 1) / (high - low) if high > low else 0.0
    return "".join(SPARKS[round((value - low) * scale)] for value in shown)


def _amount(number: int, unit: str) -> str:
    if unit == "B":
        return tables.size(number)
    one = unit.removesuffix("es") if unit.endswith("xes") else unit.removesuffix("s")
    return f"{tables.count(number)} {one if number == 1 else unit}"


def watch(work: "Generator[Notice | Progress, None, Result]") -> "Result":
    """Show the notices and the progress of a task; return its result."""
    from resnetctl.facts import Progress

    with Screen() as screen:
        while True:
            try:
                fact = next(work)
            except StopIteration as end:
                return cast("Result", end.value)
            if isinstance(fact, Progress):
                screen.progress(fact)
            else:
                screen.line(shell_hints.notice_lines(fact))
