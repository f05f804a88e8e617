"""The drawing module: valid XML, escaped text, round ticks."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetctl.report import svg


def test_text_and_attributes_are_escaped() -> None:
    drawn = svg.drawing([svg.text("<b>&", x=1.0, class_='"')], title="<i>")
    tree = ElementTree.fromstring(drawn)
    assert [item.text for item in tree] == ["<i>", "<b>&"]
    assert tree[1].get("class") == '"'
    assert tree.get("aria-label") == "<i>"


def test_no_drawing_has_a_style_attribute() -> None:
    drawn = svg.lines([("a", [(0, 1), (1, 2)]), ("b", [(0, 2), (1, 0)])], title="t", names=("x", "y"))
    assert "style=" not in drawn
    assert "script" not in drawn
    assert drawn.count("<polyline") == 2


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_few_ascending_and_inside(low: float, width: float) -> None:
    high = low + width
    if high - low < 1e-9 * max(1, abs(low)):
        return
    values = svg.ticks(low, high)
    assert 1 <= len(values) <= 12
    assert values == sorted(values)
    assert all(low - width * 1e-3 <= value <= high + width * 1e-3 for value in values)


def test_ticks_are_round() -> None:
    assert svg.ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert svg.ticks(-3, 47) == pytest.approx([0, 10, 20, 30, 40])


def test_equal_values_have_a_range() -> None:
    assert svg.spread(iter([2.0, 2.0])) == (1.5, 2.5)
    assert "nan" not in svg.lines([("a", [(1, 0.5), (2, 0.5)])], title="t", names=("x", "y"))


def test_a_point_is_where_the_axes_say() -> None:
    axes = svg.Axes(x=(0, 10), y=(0, 1), names=("x", "y"))
    assert axes.place(0, 0) == (svg.LEFT, svg.HEIGHT - svg.BOTTOM)
    assert axes.place(10, 1) == (svg.WIDTH - svg.RIGHT, svg.TOP)
