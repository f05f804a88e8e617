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


def test_marks_and_intervals_are_where_their_numbers_are() -> None:
    tree = ElementTree.fromstring(settings_plot([("a", [0.2, 0.4], 0.3, (0.1, 0.5)), ("b", [0.3], 0.3, None)]).drawing)
    marks = [item.attrib for item in tree.iter() if item.tag.endswith("circle")]
    (line,) = [item.attrib for item in tree.iter() if item.tag.endswith("line")]
    mean, low, high = (float(marks[place]["cx"]) for place in (0, 1, 2))
    assert mean == pytest.approx((low + high) / 2, abs=0.02)
    assert (float(line["x1"]) + float(line["x2"])) / 2 == pytest.approx(mean, abs=0.02)
    assert float(line["x2"]) - float(line["x1"]) == pytest.approx(2 * (high - low), abs=0.03)
    assert [mark["class"] for mark in marks] == ["mark s0", "mark s1", "mark s1", "mark s0", "mark s1"]
    assert float(marks[3]["cx"]) == mean
    assert float(marks[3]["cy"]) > float(marks[0]["cy"])


def test_the_drawing_grows_with_its_rows_and_long_names_are_shortened_in_it_only() -> None:
    heights = []
    for count in (1, 10):
        plot = settings_plot([("x" * 40, [0.5], 0.5, None)] * count)
        heights.append(float(ElementTree.fromstring(plot.drawing).attrib["viewBox"].split()[3]))
        assert plot.rows[0][0] == "x" * 40
        assert "x" * 16 not in plot.drawing
    assert heights[1] - heights[0] == 9 * 24


def test_marks_of_equal_values_lie_one_below_the_other() -> None:
    tree = ElementTree.fromstring(settings_plot([("a", [0.5] * 3 + [0.6], 0.525, None)]).drawing)
    marks = [item.attrib for item in tree.iter() if item.attrib.get("class") == "mark s1"]
    heights = [float(mark["cy"]) for mark in marks]
    assert len({mark["cx"] for mark in marks}) == 2
    assert heights[0] < heights[1] < heights[2]
    assert heights[1] == heights[3]  # the middle of the row
    many = ElementTree.fromstring(settings_plot([("a", [0.5] * 40, 0.5, None)]).drawing)
    rows = [float(item.attrib["cy"]) for item in many.iter() if item.attrib.get("class") == "mark s1"]
    assert max(rows) - min(rows) < 20
