"""The plots of a report: each is an SVG with the numbers that it shows as a table."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from statistics import median
from typing import Any

from resnetctl.report import svg
from resnetctl.runs.log import val_key

MAX_CLASSES = 25  # in the drawn confusion matrix
SPIKE = 20  # times the median: a loss above it gives the plot a log axis
MAX_ROWS = 40  # epochs in a table beside a curve
CURVES = (
    ("loss", "Loss by epoch", "cross-entropy in nats", (("train", "train_loss"), ("val", "val_loss"))),
    ("accuracy", "Accuracy by epoch", "accuracy", (("train", "train_top1"), ("val", "val_top1"))),
    ("learning-rate", "Learning rate by epoch", "learning rate", (("learning rate", "lr"),)),
    ("speed", "Speed of training by epoch", "images per second", (("images per second", "images_per_second"),)),
)

Document = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A drawing with the table of its numbers. `name` is the name of its file without the suffix."""

    name: str
    title: str
    drawing: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def file(self, style: str) -> bytes:
        """Return the drawing as a file of its own, with its style inside, in light colours."""
        head, _, rest = self.drawing.partition(">")
        return f"{head}><style>{escape(_printed(style), quote=False)}</style>{rest}\n".encode()


def plots(document: Document, epochs: Sequence[Document]) -> list[Plot]:
    """Return the plots of a report's JSON document and of the lines of its run's metrics."""
    if "task" in document:
        return [*class_curves(document), *curves(epochs)]
    drawn = [reliability(document), risk(document)]
    if len(document["accuracy"]["per_class"]) <= MAX_CLASSES:
        drawn.insert(0, confusion(document))
    if "corruptions" in document:
        drawn.append(severities(document["corruptions"]))
    if "comparison" in document:
        drawn.append(differences(document["comparison"]))
    return [*drawn, *curves(epochs)]


def confusion(document: Document) -> Plot:
    """Return the confusion matrix, a row for each true class."""
    names = [item["name"] for item in document["accuracy"]["per_class"]]
    matrix = document["accuracy"]["confusion"]
    longest = max(len(shortened(name)) for name in names)
    side, left, top = 28.0, 24.0 + 7 * longest, 24.0 + 6 * longest  # room for the names
    parts = []
    for row, name in enumerate(names):
        total = sum(matrix[row]) or 1
        middle = (row + 0.5) * side
        parts.append(svg.text(shortened(name), x=left - 8, y=top + middle + 4, class_="tick end"))
        parts.append(
            svg.text(
                shortened(name), transform=f"translate({left + middle + 4:g} {top - 8:g}) rotate(-60)", class_="tick"
            )
        )
        for column, count in enumerate(matrix[row]):
            place = {"x": left + column * side, "y": top + row * side, "width": side - 1, "height": side - 1}
            kind = "cell right" if row == column else "cell wrong"
            parts.append(svg.element("rect", **place, class_="cell none"))
            if count:
                words = f"{name} taken for {names[column]}: {count}"
                parts.append(
                    svg.element(
                        "rect",
                        svg.element("title", escape(words)),
                        **place,
                        class_=kind,
                        fill_opacity=round(0.15 + 0.85 * count / total, 3),
                    )
                )
    size = len(names) * side
    return Plot(
        name="confusion",
        title="Confusion: rows are true classes, columns are answers",
        drawing=svg.drawing(
            parts,
            title="Confusion matrix; the table has the counts",
            width=left + size + 8 + 3.5 * longest,
            height=top + size + 6,
        ),
        header=("true class", *names),
        rows=tuple((name, *map(str, matrix[row])) for row, name in enumerate(names)),
    )


def class_curves(document: Document) -> Iterator[Plot]:
    """Yield the curve of each class, or their mean where there are more than the chart has colours."""
    found = document["curves"]
    if not found:
        return
    (across, up), grid = found[0]["axes"], [x for x, _ in found[0]["points"]]
    series = [(item["name"], [tuple(point) for point in item["points"]]) for item in found]
    if len(found) > svg.SERIES:
        heights = [[y for _, y in item["points"]] for item in found]
        series = [("mean", [(x, sum(column) / len(found)) for x, *column in zip(grid, *heights, strict=True)])]
    shown = range(0, len(grid), max(1, len(grid) // 10))
    title = f"{up.capitalize()} by {across}"
    yield Plot(
        name="-".join(re.findall(r"\w+", f"{up} {across}")),
        title=title + ("" if len(found) <= svg.SERIES else ": the mean of the classes"),
        drawing=svg.lines(series, title=f"{title}; the table has the numbers", names=(across, up)),
        header=(across, *(name for name, _ in series)),
        rows=tuple((f"{grid[place]:.2f}", *(f"{line[place][1]:.3f}" for _, line in series)) for place in shown),
    )


def reliability(document: Document) -> Plot:
    """Return the reliability diagram: accuracy in each bin of confidence, and the gap to the diagonal."""
    axes = svg.Axes(x=(0, 1), y=(0, 1), names=("confidence", "accuracy"))
    parts = list(axes.frame())
    bins = document["calibration"]["bins"]
    for item in bins:
        if item["count"]:
            span = (item["low"], item["high"])
            parts.append(axes.bar(span, (0, item["accuracy"]), kind="bar"))
            parts.append(axes.bar(span, (item["accuracy"], item["confidence"]), kind="gap"))
    parts.append(axes.line([(0, 0), (1, 1)], kind="dashed"))
    return Plot(
        name="reliability",
        title="Reliability: blue is accuracy, red the gap to the confidence",
        drawing=svg.drawing(parts, title="Accuracy by confidence in 15 bins; the table has the numbers"),
        header=("confidence", "images", "mean confidence", "accuracy"),
        rows=tuple(
            (
                f"{item['low']:.2f} to {item['high']:.2f}",
                f"{item['count']:,}",
                f"{item['confidence']:.3f}",
                f"{item['accuracy']:.3f}",
            )
            for item in bins
            if item["count"]
        ),
    )


def risk(document: Document) -> Plot:
    """Return the accuracy of the answers by the share of images that is answered."""
    points = [(item["coverage"], item["accuracy"]) for item in document["risk_coverage"]]
    return Plot(
        name="abstaining",
        title="Accuracy of the answers when only the most confident images are answered",
        drawing=svg.lines(
            [("accuracy", sorted(points))],
            title="Accuracy by share of answered images; the table has the numbers",
            names=("share of images answered", "accuracy of the answers"),
        ),
        header=("answered", "accuracy"),
        rows=tuple((f"{100 * share:.1f} %", f"{100 * accuracy:.2f} %") for share, accuracy in points),
    )


def severities(found: Document) -> Plot:
    """Return accuracy, and coverage of the sets, by severity of the corruption; the table has every kind."""
    kinds = list(dict.fromkeys(cell["kind"] for cell in found["cells"]))
    steps = sorted({cell["severity"] for cell in found["cells"]})
    series = []
    for name in ("accuracy", "coverage"):
        values = {step: [cell[name] for cell in found["cells"] if cell["severity"] == step] for step in steps}
        if None not in values[steps[0]]:
            series.append((name, [(float(step), sum(values[step]) / len(kinds)) for step in steps]))
    accuracy = {(cell["kind"], cell["severity"]): cell["accuracy"] for cell in found["cells"]}
    means = [(f"mean {name}", *(f"{100 * value:.1f}" for _, value in line)) for name, line in series]
    return Plot(
        name="corruptions",
        title="Corrupted images: the mean over the kinds by severity",
        drawing=svg.lines(
            series, title="Accuracy by severity; the table has the numbers", names=("severity", "share of the images")
        ),
        header=("accuracy in percent", *map(str, steps)),
        rows=(*((words(kind), *(f"{100 * accuracy[kind, step]:.1f}" for step in steps)) for kind in kinds), *means),
    )


def differences(comparison: Document) -> Plot:
    """Return the difference of two models on all images and on each class, with 95 % intervals."""
    items = [("all", comparison)]
    items += [(item["name"], item["comparison"]) for item in comparison["per_class"] if item["comparison"]]
    items = items[: MAX_CLASSES + 1]
    ends = [100 * end for _, item in items for end in item["interval"]]
    low, high = svg.spread(iter([*ends, 0.0]))
    left, width, step, top = 120.0, svg.WIDTH - 140.0, 22.0, 8.0
    bottom = top + step * len(items)

    def across(value: float) -> float:
        return left + (value - low) / (high - low) * width

    parts = [svg.element("line", x1=across(0), y1=top, x2=across(0), y2=bottom, class_="zero")]
    for value in svg.ticks(low, high):
        parts.append(svg.text(svg.label(value), x=across(value), y=bottom + 16, class_="tick middle"))
    for row, (name, item) in enumerate(items):
        y = top + (row + 0.5) * step
        start, end = (across(100 * value) for value in item["interval"])
        kind = "s1" if item["verdict"] == "not distinguishable" else "s0"
        parts.append(svg.text(shortened(name), x=left - 8, y=y + 4, class_="tick end"))
        parts.append(svg.element("line", x1=start, y1=y, x2=end, y2=y, class_=f"line {kind}"))
        parts.append(svg.element("circle", cx=across(100 * item["difference"]), cy=y, r=4, class_=f"mark {kind}"))
    parts.append(svg.text("points, this minus the other", x=left + width / 2, y=bottom + 34, class_="name middle"))
    return Plot(
        name="comparison",
        title="Difference in accuracy, with 95 % intervals",
        drawing=svg.drawing(parts, title="Differences by class; the table has the numbers", height=bottom + 42),
        header=("images of", "only this right", "only the other right", "difference", "95 % interval", "verdict"),
        rows=tuple(_difference_row(name, item) for name, item in items),
    )


def curves(epochs: Sequence[Document]) -> Iterator[Plot]:
    """Yield loss, accuracy, learning rate and speed of a run by epoch; nothing for fewer than two epochs."""
    key = next((key for line in epochs if (key := val_key(line))), "val_top1")
    number = key.removeprefix("val_")
    own = () if number in ("top1", "loss") else (("number", f"{number} by epoch", number, (("val", key),)),)
    for name, title, axis, columns in (*CURVES, *own) if len(epochs) > 1 else ():
        series = [
            (word, [(float(line["epoch"]), float(line[key])) for line in epochs if _is_number(line.get(key))])
            for word, key in columns
        ]
        series = [(word, points) for word, points in series if len(points) > 1]
        if not series:
            continue
        step = -(-len(epochs) // MAX_ROWS)
        shown = [line for line in epochs if line["epoch"] % step == 0 or line is epochs[-1]]
        keys = [key for word, key in columns if word in dict(series)]
        yield Plot(
            name=name,
            title=title,
            drawing=svg.lines(
                series,
                title=f"{title}; the table has the numbers",
                names=("epoch", axis),
                is_log=name == "loss" and _has_spike(series),
            ),
            header=("epoch", *(word for word, _ in series)),
            rows=tuple((str(line["epoch"]), *(_number(line.get(key)) for key in keys)) for line in shown),
        )


def words(kind: str) -> str:
    """Return the name of a kind of corruption as a reader writes it."""
    return kind.replace("_", " ")


def shortened(name: str) -> str:
    """Return a name that fits beside a plot."""
    return name if len(name) <= 16 else name[:15] + "…"


def _printed(style: str) -> str:
    """Return the rules of a style for paper, with colours in place of variables: editors of SVG do not know them."""
    rules = style.partition("@media")[0]
    colours = dict(re.findall(r"--(\w+): (#\w+)", rules))
    return re.sub(r"var\(--(\w+)\)", lambda match: colours[match[1]], re.sub(r"--\w+: #\w+; ?", "", rules))


def _difference_row(name: str, item: Document) -> tuple[str, ...]:
    low, high = item["interval"]
    return (
        name,
        str(item["only_this"]),
        str(item["only_other"]),
        f"{100 * item['difference']:+.2f}",
        f"{100 * low:+.2f} to {100 * high:+.2f}",
        item["verdict"],
    )


def _has_spike(series: Sequence[tuple[str, Sequence[tuple[float, float]]]]) -> bool:
    """Return whether one value would press all others flat: more than `SPIKE` times the median, all above 0."""
    values = [y for _, line in series for _, y in line]
    return min(values) > 0 and max(values) > SPIKE * median(values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and value == value and abs(value) != float("inf")


def _number(value: Any) -> str:
    return f"{value:.4g}" if _is_number(value) else ""
