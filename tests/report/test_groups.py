"""The plot of a group of runs."""

from xml.etree import ElementTree

import pytest

from resnetctl.report.groups import settings_plot
from resnetctl.report.page import group_file
from resnetctl.report.svg import WIDTH


def test_each_setting_is_a_row_with_its_seeds_and_its_mean() -> None:
    plot = settings_plot([("lr 0.1", [0.9, 0.92], 0.91, (0.8, 1.0)), ("<one>", [0.5], 0.5, None)])
    ElementTree.fromstring(plot.drawing)
    assert plot.drawing.count("<circle") == 5
    assert plot.drawing.count("<line") == 1
    assert "&lt;one&gt;" in plot.drawing
    assert plot.rows == (("lr 0.1", "91.00%", "80.00% 100.00%", "2"), ("<one>", "50.00%", "-", "1"))


def test_equal_values_can_be_drawn() -> None:
    ElementTree.fromstring(settings_plot([("a", [0.5, 0.5], 0.5, (0.5, 0.5))]).drawing)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (0.1, 0.2),
        (0.9, 0.91),
        (0.0, 1.0),
    ],
)
def test_better_settings_lie_further_right_and_inside_the_drawing(low: float, high: float) -> None:
    rows = [("worse", [low], low, None), ("better", [high], high, None)]
    tree = ElementTree.fromstring(settings_plot(rows).drawing)
    places = [float(mark.attrib["cx"]) for mark in tree.iter() if mark.tag.endswith("circle")]
    assert len(places) == 4
    assert places[0] == places[1] < places[2] == places[3]
    assert all(180 <= place <= WIDTH for place in places)


def test_the_file_of_a_group_has_its_style_inside() -> None:
    data = group_file([("lr 0.1", [0.9, 0.92], 0.91, (0.8, 1.0))])
    tree = ElementTree.fromstring(data)
    assert any(child.tag.endswith("style") and ".plot" in (child.text or "") for child in tree)
    assert data == group_file([("lr 0.1", [0.9, 0.92], 0.91, (0.8, 1.0))])
