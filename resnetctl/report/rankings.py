"""The precision-recall and ROC curves of each class, as small charts side by side, with the numbers as a table."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from resnetctl.report import svg
from resnetctl.report.plots import MAX_CLASSES, Plot, shortened

COLUMNS, SIDE = 4, 88.0  # charts in a row; pixels of the square of one chart
LEFT, TOP, STEP_X, STEP_Y = 44.0, 34.0, 108.0, 136.0

Document = Mapping[str, Any]
Point = tuple[float, float]
HEADER = ("class", "images", "average precision", "ROC AUC", "threshold", "precision", "recall", "false positives")


def ranking_rows(document: Document) -> list[tuple[str, ...]]:
    """Return the row of `HEADER` of each class: areas, and the numbers at the threshold with the best F1."""
    return [
        (
            item["name"],
            f"{images:,}",
            *("no image" if item[key] is None else f"{item[key]:.3f}" for key in ("average_precision", "roc_auc")),
            "" if item["threshold"] is None else f"{item['threshold']:.4f}",
            *("" if value is None else f"{100 * value:.1f} %" for value in (item["precision"], item["recall"])),
            "" if item["threshold"] is None else f"{100 * _false_positives(item, images, document['count']):.1f} %",
        )
        for item, images in _classes(document)
    ]


def ranking_plots(document: Document) -> Iterator[Plot]:
    """Yield the precision-recall and the ROC curves of up to `MAX_CLASSES` classes that have images."""
    known = [(item, images) for item, images in _classes(document) if item["curve"]]
    if known and len(known) <= MAX_CLASSES:
        total = document["count"]
        charts = [_precision_recall(item, images / total) for item, images in known]
        yield _plot(charts, name="precision-recall", area="average precision", axes=("recall", "precision"))
        charts = [_roc(item, _false_positives(item, images, total)) for item, images in known]
        yield _plot(charts, name="roc", area="area under the curve", axes=("false positive rate", "recall"))


def _precision_recall(item: Document, share: float) -> list[str]:
    """Return the chart of one class; `share` of all images is of it, which is the precision by chance."""
    mark = (item["recall"], item["precision"])
    line = _through(item, mark, ("recall", "precision"))
    return _chart(item, "average_precision", line=line, base=[(0, share), (1, share)], mark=mark)


def _roc(item: Document, false_positives: float) -> list[str]:
    mark = (false_positives, item["recall"])
    line = [(0.0, 0.0), *_through(item, mark, ("false_positive_rate", "recall"))]
    return _chart(item, "roc_auc", line=line, base=[(0, 0), (1, 1)], mark=mark)


def _through(item: Document, mark: Point, axes: tuple[str, str]) -> list[Point]:
    """Return the points of a curve, with that of the marked threshold at its place among them."""
    curve = item["curve"]
    points = list(zip(*(curve[axis] for axis in axes), strict=True))
    before = sum(threshold > item["threshold"] for threshold in curve["threshold"])
    return [*points[:before], mark, *points[before:]]


def _classes(document: Document) -> list[tuple[Document, int]]:
    """Return the ranking and the number of images of each class."""
    counts = {item["name"]: item["count"] for item in document["accuracy"]["per_class"]}
    return [(item, counts[item["name"]]) for item in document["rankings"] or ()]


def _false_positives(item: Document, images: int, total: int) -> float:
    """Return the share of the other images that reach the threshold: (taken - hits) / others."""
    hits = item["recall"] * images
    return float((hits / item["precision"] - hits) / (total - images))


def _chart(item: Document, area: str, *, line: Sequence[Point], base: Sequence[Point], mark: Point) -> list[str]:
    """Return the parts of the chart of one class, in its own pixels. `base` is the line of a ranking by chance."""

    def pixels(points: Sequence[Point]) -> str:
        return " ".join(f"{SIDE * x:.2f},{SIDE * (1 - y):.2f}" for x, y in points)

    numbers = ", ".join(f"{key} {item[key]:.3f}" for key in ("threshold", "precision", "recall"))
    return [
        svg.text(shortened(item["name"]), x=SIDE / 2, y=-18, class_="name middle"),
        svg.text(f"{item[area]:.3f}", x=SIDE / 2, y=-5, class_="tick middle"),
        svg.element("rect", x=0, y=0, width=SIDE, height=SIDE, class_="cell none"),
        svg.element("polyline", points=pixels(base), class_="line dashed"),
        svg.element("polyline", points=pixels(line), class_="line s0"),
        svg.element(
            "circle", svg.element("title", escape(f"{item['name']}: {numbers}")),
            cx=SIDE * mark[0], cy=SIDE * (1 - mark[1]), r=4, class_="mark s1",
        ),
    ]  # fmt: skip


def _plot(charts: Sequence[Sequence[str]], *, name: str, area: str, axes: tuple[str, str]) -> Plot:
    rows, parts = -(-len(charts) // COLUMNS), []
    for place, chart in enumerate(charts):
        x, y = LEFT + place % COLUMNS * STEP_X, TOP + place // COLUMNS * STEP_Y
        parts.append(svg.element("g", *chart, transform=f"translate({x:g} {y:g})"))
        if place % COLUMNS == 0:
            parts += [svg.text(text, x=x - 5, y=y + at, class_="tick end") for text, at in (("1", 10), ("0", SIDE))]
        if place + COLUMNS >= len(charts):  # nothing is below
            ends = (("0", 3), ("1", SIDE - 3))
            parts += [svg.text(text, x=x + at, y=y + SIDE + 15, class_="tick middle") for text, at in ends]
    bottom = TOP + (rows - 1) * STEP_Y + SIDE
    parts.append(svg.text(axes[0], x=svg.WIDTH / 2, y=bottom + 34, class_="name middle"))
    turned = f"translate(14 {(TOP + bottom) / 2:g}) rotate(-90)"
    parts.append(svg.text(axes[1], transform=turned, class_="name middle"))
    return Plot(
        name=name,
        title=f"{axes[1].capitalize()} by {axes[0]}, with the {area} of each class",
        drawing=svg.drawing(
            parts, title=f"{axes[1]} by {axes[0]} of each class; the table has the numbers", height=bottom + 42
        ),
        header=(),
        rows=(),
    )
