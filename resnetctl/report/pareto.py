"""The plot of networks by time and accuracy: one that is slower and no more accurate than another is not worth it."""

from collections.abc import Iterator, Sequence

from resnetctl.report import svg
from resnetctl.report.plots import Plot, shortened
from resnetctl.report.verdict import percent

Point = tuple[str, float, float, tuple[float, float]]  # name, milliseconds, accuracy, its interval
Box = tuple[float, float, float, float]  # left, top, right, bottom
RADIUS = 4.5  # of a mark
GAP = 4.0  # between a mark or an interval and a name
ROWS = (0.0, -14.0, 14.0, -28.0, 28.0, -42.0, 42.0)  # pixels between a mark and the middle of its name
ROOM = 0.04  # of an axis that stays free behind the last point


def pareto_plot(points: Sequence[Point]) -> Plot:
    """Return the plot: a mark and a 95 % interval for each network, and a line through those on the Pareto front."""
    axes = _axes(points)
    marks = [axes.place(ms, 100 * accuracy) for _, ms, accuracy, _ in points]
    ends = [[axes.place(ms, 100 * end)[1] for end in interval] for _, ms, _, interval in points]
    parts = [*axes.frame(), axes.line([(ms, 100 * accuracy) for _, ms, accuracy, _ in front(points)], kind="dashed")]
    taken = [(x - 1.0, high, x + 1.0, low) for (x, _), (low, high) in zip(marks, ends, strict=True)]
    taken += [(x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS) for x, y in marks]
    for (name, ms, _, (low, high)), (x, y) in zip(points, marks, strict=True):
        parts.append(axes.line([(ms, 100 * low), (ms, 100 * high)], kind="s0"))
        parts.append(svg.element("circle", cx=x, cy=y, r=RADIUS, class_="mark s0"))
        box = _free_box(x, y, width=svg.LETTER * len(shortened(name)), taken=taken)
        taken.append(box)
        parts.append(svg.text(shortened(name), x=(box[0] + box[2]) / 2, y=box[3] - 3, class_="name middle"))
    return Plot(
        name="pareto",
        title="Val accuracy by time, with 95 % intervals; the line joins networks that no other beats in both",
        drawing=svg.drawing(parts, title="Val accuracy by milliseconds; the table has the numbers"),
        header=("network", "ms", "accuracy", "95 % interval"),
        rows=tuple(
            (name, f"{ms:.3f}", percent(accuracy, 2), f"{percent(low, 2)} to {percent(high, 2)}")
            for name, ms, accuracy, (low, high) in points
        ),
    )


def front(points: Sequence[Point]) -> list[Point]:
    """Return the networks that no other one beats in both time and accuracy, the fastest first."""
    best: list[Point] = []
    for point in sorted(points, key=lambda item: (item[1], -item[2])):
        if not best or point[2] > best[-1][2]:
            best.append(point)
    return best


def _axes(points: Sequence[Point]) -> svg.Axes:
    """Return axes from 0 ms on, with room behind the slowest network and around the intervals."""
    _, slowest = svg.spread(iter([0.0, *(ms for _, ms, _, _ in points)]))
    low, high = svg.spread(100 * value for _, _, accuracy, interval in points for value in (accuracy, *interval))
    room = ROOM * (high - low)
    return svg.Axes(
        x=(0.0, slowest * (1 + ROOM)),
        y=(low - room, high + room),
        names=("ms an image, one thread", "val accuracy in percent"),
    )


def _free_box(x: float, y: float, *, width: float, taken: Sequence[Box]) -> Box:
    """Return the place of a name beside its mark that covers least of what is drawn already."""
    return min(_boxes(x, y, width=width), key=lambda box: sum(_overlap(box, other) for other in taken))


def _boxes(x: float, y: float, *, width: float) -> Iterator[Box]:
    """Yield the places that a name can have inside the drawing, the best first: right of its mark, then left of it."""
    for row in ROWS:
        for left in (x + RADIUS + GAP, x - RADIUS - GAP - width):
            if left >= svg.LEFT and left + width <= svg.WIDTH:
                yield left, y + row - 8, left + width, y + row + 6
    yield x - width, y - 22, x, y - 8  # there always is one


def _overlap(one: Box, other: Box) -> float:
    """Return the area that two boxes share, in square pixels."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, across) * max(0.0, down)
