"""The plot of a group of runs: the accuracy of each seed, and the interval of each mean."""

from collections import Counter
from collections.abc import Sequence

from resnetctl.report import svg
from resnetctl.report.plots import Plot, shortened

Row = tuple[str, Sequence[float], float, tuple[float, float] | None]  # name, values, mean, interval; shares of 1
REACH = 9.0  # pixels above and below the middle of a row


def settings_plot(rows: Sequence[Row]) -> Plot:
    """Return the plot of settings, one row each: a small mark for each seed, a large one and a line for the mean."""
    ends = [100 * value for _, values, _, interval in rows for value in (*values, *(interval or ()))]
    low, high = svg.spread(iter(ends))
    left, width, step, top = 190.0, svg.WIDTH - 210.0, 24.0, 8.0
    bottom = top + step * len(rows)

    def across(value: float) -> float:
        return left + (100 * value - low) / (high - low) * width

    parts = [
        svg.text(svg.label(at), x=across(at / 100), y=bottom + 16, class_="tick middle") for at in svg.ticks(low, high)
    ]
    for number, (name, values, mean, interval) in enumerate(rows):
        y = top + (number + 0.5) * step
        parts.append(svg.text(shortened(name), x=left - 8, y=y + 4, class_="tick end"))
        if interval is not None:
            start, end = map(across, interval)
            parts.append(svg.element("line", x1=start, y1=y, x2=end, y2=y, class_="line s0"))
        parts.append(svg.element("circle", cx=across(mean), cy=y, r=4.5, class_="mark s0"))
        parts += [
            svg.element("circle", cx=across(value), cy=y + offset, r=2.5, class_="mark s1")
            for value, offset in zip(values, _offsets(values), strict=True)
        ]
    parts.append(svg.text("val accuracy in percent", x=left + width / 2, y=bottom + 34, class_="name middle"))
    return Plot(
        name="settings",
        title="Val accuracy by setting, with 95 % intervals of the means",
        drawing=svg.drawing(parts, title="Val accuracy of each seed; the table has the numbers", height=bottom + 42),
        header=("setting", "mean", "95 % interval", "seeds"),
        rows=tuple(
            (name, f"{mean:.2%}", "-" if interval is None else f"{interval[0]:.2%} {interval[1]:.2%}", str(len(values)))
            for name, values, mean, interval in rows
        ),
    )


def _offsets(values: Sequence[float]) -> list[float]:
    """Return how far each mark moves up or down, so that those of equal values do not hide each other."""
    counts, before = Counter(values), Counter[float]()
    offsets = []
    for value in values:
        space = min(5.0, 2 * REACH / max(1, counts[value] - 1))
        offsets.append((before[value] - (counts[value] - 1) / 2) * space)
        before[value] += 1
    return offsets
