"""The curves of each class are drawn through the marked threshold, and their table has the numbers of `eval`."""

import re
from typing import Any
from xml.etree import ElementTree

import pytest
from support.report_documents import NAMES, make_document

from resnetctl.report.plots import MAX_CLASSES
from resnetctl.report.rankings import COLUMNS, HEADER, SIDE, ranking_plots, ranking_rows

PERFECT = {
    "name": "a", "roc_auc": 1.0, "average_precision": 1.0, "threshold": 0.5, "precision": 1.0, "recall": 1.0,
    "curve": {
        "threshold": [0.9, 0.1], "recall": [0.5, 1.0], "precision": [1.0, 0.25], "false_positive_rate": [0.0, 1.0],
    },
}  # fmt: skip
NOTHING = dict.fromkeys(PERFECT) | {"name": "b"}


def document(*rankings: dict[str, Any]) -> dict[str, Any]:
    """Return a report on 8 images, of which each named class has 2."""
    classes = [{"name": item["name"], "count": 0 if item["curve"] is None else 2} for item in rankings]
    return {"count": 8, "accuracy": {"per_class": classes}, "rankings": list(rankings)}


def test_there_is_a_chart_for_each_class_in_both_drawings() -> None:
    plots = list(ranking_plots(make_document()))
    assert [plot.name for plot in plots] == ["precision-recall", "roc"]
    for plot in plots:
        tree = ElementTree.fromstring(plot.drawing)
        marks = [item[0].text or "" for item in tree.iter() if item.tag.endswith("circle")]
        assert [mark.partition(": threshold ")[0] for mark in marks] == list(NAMES)


def test_a_curve_goes_through_the_marked_threshold() -> None:
    drawn = {plot.name: plot.drawing for plot in ranking_plots(document(PERFECT))}
    half, most = f"{SIDE / 2:.2f}", f"{SIDE:.2f}"
    assert f'points="{half},0.00 {most},0.00 {most},{SIDE * 0.75:.2f}"' in drawn["precision-recall"]
    assert f'points="0.00,{most} 0.00,{half} 0.00,0.00 {most},0.00"' in drawn["roc"]
    assert f'points="0.00,{SIDE * 0.75:.2f} {most},{SIDE * 0.75:.2f}"' in drawn["precision-recall"], "by chance: 2 of 8"


def test_the_table_has_the_share_of_false_positives() -> None:
    half = PERFECT | {"name": "c", "precision": 0.25, "recall": 0.5, "average_precision": 0.3, "roc_auc": 0.7}
    rows = ranking_rows(document(PERFECT, NOTHING, half))
    assert rows == [
        ("a", "2", "1.000", "1.000", "0.5000", "100.0 %", "100.0 %", "0.0 %"),
        ("b", "0", "no image", "no image", "", "", "", ""),
        ("c", "2", "0.300", "0.700", "0.5000", "25.0 %", "50.0 %", "50.0 %"),
    ]
    assert {len(row) for row in rows} == {len(HEADER)}


@pytest.mark.parametrize("count", [1, COLUMNS, COLUMNS + 1, MAX_CLASSES])
def test_ticks_are_below_charts_only(count: int) -> None:
    rankings = [PERFECT | {"name": f"class {place}"} for place in range(count)]
    plot = next(ranking_plots(document(*rankings)))
    assert plot.drawing.count('class="tick middle">0<') == min(count, COLUMNS)
    height = float(re.findall(r'viewBox="0 0 480 ([\d.]+)"', plot.drawing)[0])
    assert max(float(y) for y in re.findall(r' y="([\d.]+)"', plot.drawing)) < height


def test_too_many_classes_and_unknown_rankings_have_no_drawing() -> None:
    many = [PERFECT | {"name": f"class {place}"} for place in range(MAX_CLASSES + 1)]
    assert list(ranking_plots(document(*many))) == []
    assert len(ranking_rows(document(*many))) == len(many)
    for empty in (document(NOTHING), document() | {"rankings": None}):
        assert list(ranking_plots(empty)) == []
