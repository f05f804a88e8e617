"""Every plot is an SVG with the table of its numbers."""

from typing import Any
from xml.etree import ElementTree

import pytest
from support.report_documents import EPOCHS, NAMES, make_document

from resnetctl.report.plots import (
    MAX_CLASSES,
    MAX_ROWS,
    Plot,
    confusion,
    curves,
    differences,
    plots,
    reliability,
    risk,
    severities,
    shortened,
)


def test_a_report_has_its_plots_in_order() -> None:
    names = [plot.name for plot in plots(make_document(), EPOCHS)]
    assert names == ["confusion", "reliability", "abstaining", "comparison", "loss", "accuracy", "learning-rate"]
    assert [plot.name for plot in plots(make_document(against=False), ())] == names[:3]


def test_each_plot_is_xml_with_a_title_and_rows_as_wide_as_the_header() -> None:
    for plot in plots(make_document(), EPOCHS):
        tree = ElementTree.fromstring(plot.drawing)
        assert tree[0].tag.endswith("title")
        assert tree[0].text
        assert plot.rows
        assert {len(row) for row in plot.rows} == {len(plot.header)}


def test_a_file_holds_its_style() -> None:
    data = reliability(make_document()).file(".plot { fill: red } /* <&> */")
    tree = ElementTree.fromstring(data)
    assert tree[0].text == ".plot { fill: red } /* <&> */"


def test_a_matrix_names_each_mistake() -> None:
    plot = confusion(make_document())
    titles = [item.text or "" for item in ElementTree.fromstring(plot.drawing).iter() if item.tag.endswith("title")]
    assert any(title.startswith(f"{NAMES[0]} taken for {NAMES[1]}: ") for title in titles)


def test_many_classes_have_no_drawn_matrix() -> None:
    document = make_document(against=False)
    row = document["accuracy"]["per_class"][0]
    document["accuracy"] = {**document["accuracy"], "per_class": [row] * 26}
    assert "confusion" not in [plot.name for plot in plots(document, ())]


def test_curves_need_two_epochs_and_shorten_long_tables() -> None:
    assert list(curves(EPOCHS[:1])) == []
    lines = [{"epoch": epoch, "train_loss": 1.0, "lr": 0.1} for epoch in range(1, 301)]
    loss, rate = curves(lines)
    assert (loss.header, rate.name) == (("epoch", "train"), "learning-rate")
    assert len(loss.rows) <= MAX_ROWS + 1
    assert loss.rows[-1][0] == "300"


def test_the_speed_of_a_run_is_a_curve_of_its_own() -> None:
    lines = [{"epoch": epoch, "images_per_second": 1000.0 + epoch} for epoch in (1, 2, 3)]
    (speed,) = curves(lines)
    assert (speed.name, speed.header) == ("speed", ("epoch", "images per second"))
    assert speed.rows[0] == ("1", "1001")


def test_numbers_that_are_not_finite_are_left_out() -> None:
    lines = [{"epoch": epoch, "train_loss": loss} for epoch, loss in enumerate((1.0, float("nan"), 0.5), start=1)]
    (loss,) = curves(lines)
    assert loss.rows[1] == ("2", "")
    assert "nan" not in loss.drawing


def test_long_names_are_shortened() -> None:
    assert shortened("x" * 16) == "x" * 16
    assert shortened("x" * 17) == "x" * 15 + "…"


def parts(plot: Plot, tag: str, **attributes: str) -> list[ElementTree.Element]:
    items = ElementTree.fromstring(plot.drawing).iter()
    return [item for item in items if item.tag.endswith(tag) and attributes.items() <= item.attrib.items()]


def cells(*, coverage: float | None = 0.9) -> dict[str, Any]:
    return {
        "cells": [
            {"kind": kind, "severity": severity, "accuracy": 0.9 - severity / 10 - place / 10, "coverage": coverage}
            for place, kind in enumerate(("fog", "contrast"))
            for severity in (2, 1)
        ]
    }


def test_corruptions_have_the_mean_by_severity_and_every_kind_in_the_table() -> None:
    plot = severities(cells())
    assert plot.header == ("accuracy in percent", "1", "2")
    assert plot.rows[:2] == (("fog", "80.0", "70.0"), ("contrast", "70.0", "60.0"))
    assert plot.rows[2] == ("mean accuracy", "75.0", "65.0")
    assert plot.rows[3][0] == "mean coverage", "what is drawn is in the table"
    assert len(parts(plot, "polyline")) == 2
    assert len(parts(severities(cells(coverage=None)), "polyline")) == 1
    assert "corruptions" in [plot.name for plot in plots(make_document(corruptions=cells()), ())]


def test_a_matrix_has_a_cell_for_each_pair_and_a_title_for_each_count() -> None:
    document = make_document()
    matrix = document["accuracy"]["confusion"]
    plot = confusion(document)
    assert len(parts(plot, "rect", **{"class": "cell none"})) == len(NAMES) ** 2
    filled = sum(bool(count) for row in matrix for count in row)
    assert len(parts(plot, "title")) == 1 + filled
    assert [row[1:] for row in plot.rows] == [tuple(map(str, row)) for row in matrix]


def test_a_class_without_images_has_an_empty_row() -> None:
    document = make_document()
    document["accuracy"] = {
        "per_class": [{"name": "a"}, {"name": "b"}], "confusion": [[0, 0], [1, 3]],
    }  # fmt: skip
    plot = confusion(document)
    assert [float(item.attrib["fill-opacity"]) for item in parts(plot, "rect") if "fill-opacity" in item.attrib] == [
        pytest.approx(0.15 + 0.85 * share, abs=6e-3) for share in (0.25, 0.75)
    ]


def test_empty_bins_of_confidence_are_left_out() -> None:
    document = make_document()
    known = [item for item in document["calibration"]["bins"] if item["count"]]
    plot = reliability(document)
    assert 0 < len(plot.rows) == len(known) <= 15
    assert len(parts(plot, "rect", **{"class": "bar"})) == len(parts(plot, "rect", **{"class": "gap"})) == len(known)


def test_differences_mark_what_is_distinguishable_and_stop_at_25_classes() -> None:
    comparison = make_document()["comparison"]
    item = {"name": "one", "comparison": {**comparison, "verdict": "better", "interval": [0.01, 0.03]}}
    none = {"name": "no images", "comparison": None}
    plot = differences({**comparison, "verdict": "not distinguishable", "per_class": [none, *[item] * 40]})
    assert len(plot.rows) == MAX_CLASSES + 1
    assert (len(parts(plot, "circle", **{"class": "mark s1"})), plot.rows[0][0]) == (1, "all")
    assert plot.rows[1] == ("one", *plot.rows[1][1:4], "+1.00 to +3.00", "better")


def test_a_comparison_of_equal_models_can_be_drawn() -> None:
    comparison = make_document()["comparison"] | {"difference": 0.0, "interval": [0.0, 0.0], "per_class": []}
    assert len(parts(differences(comparison), "circle")) == 1


def test_the_curve_of_answers_goes_from_few_to_all() -> None:
    plot = risk({"risk_coverage": [{"coverage": 1.0, "accuracy": 0.8}, {"coverage": 0.1, "accuracy": 1.0}]})
    assert plot.rows == (("100.0 %", "80.00 %"), ("10.0 %", "100.00 %"))
    (line,) = parts(plot, "polyline")
    places = [float(point.partition(",")[0]) for point in line.attrib["points"].split()]
    assert places == sorted(places)


@pytest.mark.parametrize("value", [None, "nan", float("inf"), True])
def test_columns_without_two_numbers_have_no_curve(value: object) -> None:
    lines = [{"epoch": 1, "train_loss": value}, {"epoch": 2, "train_loss": 0.5}]
    assert [plot.name for plot in curves(lines)] == (["loss"] if value is True else [])


@pytest.mark.parametrize(("first", "is_log"), [(3000.0, True), (2.0, False)])
def test_a_loss_with_a_spike_has_a_log_axis(first: float, is_log: bool) -> None:
    lines = [{"epoch": epoch, "train_loss": loss} for epoch, loss in enumerate((first, 1.0, 0.5, 0.4), start=1)]
    (loss,) = curves(lines)
    assert ("(log axis)" in loss.drawing) == is_log
    heights = [float(point.partition(",")[2]) for point in parts(loss, "polyline")[0].attrib["points"].split()]
    assert heights == sorted(heights)
    assert heights[3] - heights[1] > 15, "the later epochs are told apart"
    ticks = [item.text for item in parts(loss, "text", **{"class": "tick end"})]
    assert not is_log or {"1", "10", "100", "1000"} <= set(ticks)


def test_a_loss_of_zero_has_no_log_axis() -> None:
    lines = [{"epoch": epoch, "train_loss": loss} for epoch, loss in enumerate((300.0, 1.0, 0.0), start=1)]
    (loss,) = curves(lines)
    assert "(log axis)" not in loss.drawing
