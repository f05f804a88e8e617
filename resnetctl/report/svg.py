"""Draw small charts as SVG, without a script or a `style` attribute: colours come from classes, in the page's style.

All text is escaped. Coordinates are rounded, so that the same numbers give the same bytes.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 480, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 14, 26, 44  # margins of the axes; the legend is above
TICKS = 5
LETTER = 7  # width of a letter of a tick, about
NAME = 28  # pixels: the name of y takes them beside its ticks
SERIES = 3  # colours of lines, as classes s0, s1, ...


def element(name: str, *children: str, **attributes: object) -> str:
    """Return an element. `children` are markup already; attributes are escaped, `class_` is `class`, `_` is `-`."""
    names = {key: key.rstrip("_").replace("_", "-") for key in attributes}
    written = "".join(f' {names[key]}="{escape(_plain(value))}"' for key, value in attributes.items())
    return f"<{name}{written}>{''.join(children)}</{name}>" if children else f"<{name}{written}/>"


def text(words: object, **attributes: object) -> str:
    """Return a text element; `words` are escaped."""
    return element("text", escape(str(words)), **attributes)


def drawing(parts: Sequence[str], *, title: str, width: float = WIDTH, height: float = HEIGHT) -> str:
    """Return a whole SVG whose title is also its alternative text."""
    name = element("title", escape(title))
    box = f"0 0 {_plain(width)} {_plain(height)}"
    return element(
        "svg",
        name,
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=box,
        role="img",
        aria_label=title,
        class_="plot",
    )


@dataclass(frozen=True, kw_only=True)
class Axes:
    """Axes of a chart, with the ranges of the data and the names of x and y; `is_whole`: x is a count, as epochs."""

    x: tuple[float, float]
    y: tuple[float, float]
    names: tuple[str, str]
    is_whole: bool = False
    is_log: bool = False  # y holds logarithms to the base 10

    @property
    def left(self) -> float:
        """Return the margin on the left: long numbers push the axis to the right, away from its name."""
        longest = max((len(label(value)) for value in ticks(*self.y)), default=0) if self.y[0] < self.y[1] else 0
        return max(LEFT, NAME + (LETTER + 1) * longest)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return the pixel of a point."""
        across = (x - self.x[0]) / ((self.x[1] - self.x[0]) or 1)
        up = (y - self.y[0]) / ((self.y[1] - self.y[0]) or 1)
        return self.left + across * (WIDTH - self.left - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    def frame(self) -> Iterator[str]:
        """Yield grid lines, ticks and names."""
        for value in ticks(*self.y, is_whole=self.is_log):
            x, y = self.place(self.x[0], value)
            yield element("line", x1=x, y1=y, x2=WIDTH - RIGHT, y2=y, class_="grid")
            words = label(10**value) if self.is_log else label(value)
            yield text(words, x=x - 8, y=y + 4, class_="tick end")
        for value in ticks(*self.x, is_whole=self.is_whole):
            x, y = self.place(value, self.y[0])
            yield text(label(value), x=x, y=y + 18, class_="tick middle")
        yield text(self.names[0], x=(self.left + WIDTH - RIGHT) / 2, y=HEIGHT - 6, class_="name middle")
        turned = f"translate(14 {(TOP + HEIGHT - BOTTOM) / 2:g}) rotate(-90)"
        yield text(self.names[1], transform=turned, class_="name middle")

    def line(self, points: Sequence[tuple[float, float]], *, kind: str) -> str:
        """Return a line through points of the data."""
        pixels = " ".join(f"{_plain(x)},{_plain(y)}" for x, y in (self.place(*point) for point in points))
        return element("polyline", points=pixels, class_=f"line {kind}")

    def bar(self, x: tuple[float, float], y: tuple[float, float], *, kind: str) -> str:
        """Return a rectangle from corner to corner of the data."""
        (left, bottom), (right, top) = self.place(x[0], min(y)), self.place(x[1], max(y))
        return element("rect", x=left + 1, y=top, width=max(0, right - left - 2), height=bottom - top, class_=kind)


def legend(names: Sequence[tuple[str, str]], *, left: float = LEFT) -> Iterator[str]:
    """Yield the names of series as (name, class), in a line above the axes: lines never run through them."""
    x = float(left)
    for name, kind in names:
        yield element("rect", x=x, y=4, width=10, height=10, class_=f"mark {kind}")
        yield text(name, x=x + 15, y=13, class_="tick")
        x += 36 + LETTER * len(name)


def lines(
    series: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    *,
    title: str,
    names: tuple[str, str],
    is_log: bool = False,
) -> str:
    """Return a chart of up to three named lines. `is_log`: with a logarithmic y, whose numbers are above 0."""
    if is_log:
        series = [(name, [(x, math.log10(y)) for x, y in line]) for name, line in series]
        names = (names[0], f"{names[1]} (log axis)")
    points = [point for _, line in series for point in line]
    axes = Axes(
        x=spread(x for x, _ in points),
        y=_decades(*spread(y for _, y in points)) if is_log else _padded(*spread(y for _, y in points)),
        names=names,
        is_whole=all(float(x).is_integer() for x, _ in points),
        is_log=is_log,
    )
    drawn = [axes.line(line, kind=f"s{place % SERIES}") for place, (_, line) in enumerate(series)]
    named = [(name, f"s{place % SERIES}") for place, (name, _) in enumerate(series)] if len(series) > 1 else []
    return drawing([*axes.frame(), *drawn, *legend(named, left=axes.left)], title=title)


def spread(values: Iterator[float]) -> tuple[float, float]:
    """Return the least and the largest value; equal ones are moved apart."""
    known = list(values)
    low, high = min(known), max(known)
    room = max(0.5, abs(low) * 1e-6)
    return (low, high) if low < high else (low - room, high + room)


def ticks(low: float, high: float, *, is_whole: bool = False) -> list[float]:
    """Return round numbers in the range, about `TICKS` of them; with `is_whole` only integers."""
    raw = (high - low) / TICKS
    if is_whole:
        raw = next((step for step in (1, 2, 5) if step >= raw * 0.999), raw)
    power = 10 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [count * step for count in range(first, math.floor(high / step + 1e-9) + 1)]


def label(value: float) -> str:
    """Return the text of a tick."""
    return f"{value:.4g}".replace("-0", "0", 1) if abs(value) < 1e-12 else f"{value:.4g}"


def _decades(low: float, high: float) -> tuple[float, float]:
    """Return the whole powers of ten around a range of logarithms."""
    return float(math.floor(low)), float(math.ceil(high))


def _padded(low: float, high: float) -> tuple[float, float]:
    room = (high - low) * 0.05
    return (0.0 if low >= 0 > low - room else low - room), high + room


def _plain(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
