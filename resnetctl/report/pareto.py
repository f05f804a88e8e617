"""The plot of networks by time and accuracy: one that is slower and no more accurate than another is not worth it."""

from collections.abc import Sequence

from resnetctl.report import svg
from resnetctl.report.plots import Plot, shortened

Point = tuple[str, float, float, tuple[float, float]]  # name, milliseconds, accuracy, its interval


def pareto_plot(points: Sequence[Point]) -> Plot:
    """Return the plot: a mark and a 95 % interval for each network, and a line through those on the Pareto front."""
    times = svg.spread(iter([0.0, *(ms for _, ms, _, _ in points)]))
    shares = svg.spread(100 * value for _, _, accuracy, interval in points for value in (accuracy, *interval))
    axes = svg.Axes(x=times, y=shares, names=("ms an image, one thread", "val accuracy in percent"))
    best = front(points)
    parts = [*axes.frame(), axes.line([(ms, 100 * accuracy) for _, ms, accuracy, _ in best], kind="dashed")]
    for name, ms, accuracy, (low, high) in points:
        x, y = axes.place(ms, 100 * accuracy)
        parts.append(axes.line([(ms, 100 * low), (ms, 100 * high)], kind="s0"))
        parts.append(svg.element("circle", cx=x, cy=y, r=4.5, class_="mark s0"))
        parts.append(svg.text(shortened(name), x=x + 8, y=y - 8, class_="name"))
    return Plot(
        name="pareto",
        title="Val accuracy by time, with 95 % intervals; the line joins networks that no other beats in both",
        drawing=svg.drawing(parts, title="Val accuracy by milliseconds; the table has the numbers"),
        header=("network", "ms", "accuracy", "95 % interval"),
        rows=tuple(
            (name, f"{ms:.3f}", f"{accuracy:.2%}", f"{low:.2%} {high:.2%}")
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
