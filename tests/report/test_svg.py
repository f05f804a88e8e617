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


def test_numbers_are_rounded_and_written_without_trailing_zeros() -> None:
    assert svg.element("circle", cx=1.0, cy=2.456, r=3, x=-0.5) == '<circle cx="1" cy="2.46" r="3" x="-0.5"/>'
    assert svg.element("g", svg.element("a"), fill_opacity=0.1, class_="s0") == (
        '<g fill-opacity="0.1" class="s0"><a/></g>'
    )


@pytest.mark.parametrize("value", [0.0, 1.0, -3.5, 1e17, -1e300, 1e-300])
def test_one_value_has_a_range_with_ticks(value: float) -> None:
    low, high = svg.spread(iter([value, value]))
    assert low < high
    assert svg.ticks(low, high)
    ElementTree.fromstring(svg.lines([("a", [(1, value), (2, value)])], title="t", names=("x", "y")))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 5, [0, 1, 2, 3, 4, 5]),
        (0, 8, [0, 2, 4, 6, 8]),
        (0, 12, [0, 2.5, 5, 7.5, 10]),
        (0.4, 0.6, [0.4, 0.45, 0.5, 0.55, 0.6]),
    ],
)
def test_steps_are_one_two_two_and_a_half_or_five(low: float, high: float, expected: list[float]) -> None:
    assert svg.ticks(low, high) == pytest.approx(expected)


def test_labels_have_four_digits() -> None:
    assert [svg.label(value) for value in (0.0, -0.0, 0.30000000000000004, 12345.6, 1e-5)] == [
        "0",
        "0",
        "0.3",
        "1.235e+04",
        "1e-05",
    ]


def test_a_legend_names_two_lines_and_not_one() -> None:
    one, two = (
        svg.lines([(name, [(0, 0), (1, 1)]) for name in names], title="t", names=("x", "y"))
        for names in (["only"], ["first", "second"])
    )
    assert "only" not in one
    assert two.count('class="mark') == 2
    marks = [item for item in ElementTree.fromstring(two).iter() if item.attrib.get("class", "").startswith("mark")]
    assert all(float(item.attrib["y"]) + 10 < svg.TOP for item in marks), "a line runs through the legend"
    assert 'class="line s0"' in two
    assert 'class="line s1"' in two


def test_a_bar_has_the_corners_of_the_data_and_is_never_negative() -> None:
    axes = svg.Axes(x=(0, 1), y=(0, 1), names=("x", "y"))
    upward, downward = (
        ElementTree.fromstring(axes.bar((0, 0.5), ends, kind="bar")) for ends in ((0.2, 0.8), (0.8, 0.2))
    )
    assert upward.attrib == downward.attrib
    assert float(upward.attrib["height"]) == pytest.approx(0.6 * (svg.HEIGHT - svg.TOP - svg.BOTTOM), abs=0.01)
    assert float(ElementTree.fromstring(axes.bar((0.5, 0.5), (0, 1), kind="bar")).attrib["width"]) == 0


def test_axes_of_one_value_divide_by_nothing() -> None:
    axes = svg.Axes(x=(3, 3), y=(1, 1), names=("x", "y"))
    assert axes.place(3, 1) == (svg.LEFT, svg.HEIGHT - svg.BOTTOM)


def test_a_range_above_zero_is_not_padded_below_it() -> None:
    assert svg._padded(0.01, 1.0)[0] == 0
    assert svg._padded(0.5, 1.0)[0] == pytest.approx(0.475)
    assert svg._padded(-1.0, 1.0) == pytest.approx((-1.1, 1.1))


def test_long_numbers_move_the_axis_away_from_its_name() -> None:
    short, long = (svg.Axes(x=(0, 1), y=(0, top), names=("x", "y")) for top in (1.0, 0.001))
    assert short.left == svg.LEFT < long.left
    tree = ElementTree.fromstring(svg.lines([("a", [(0, 0), (1, 0.001)])], title="t", names=("x", "y")))
    ticks = [item for item in tree.iter() if item.get("class") == "tick end"]
    widest = max(len(str(item.text)) for item in ticks)
    assert float(ticks[0].attrib["x"]) - svg.LETTER * widest > 14 + 4, "the name of y is at 14"


@pytest.mark.parametrize("last", [2, 3, 7, 12, 15, 23, 100, 300])
def test_epochs_have_whole_ticks(last: int) -> None:
    assert all(value.is_integer() for value in map(float, svg.ticks(1, last, is_whole=True)))
    assert 1 < len(svg.ticks(1, last, is_whole=True)) <= 7
    tree = ElementTree.fromstring(svg.lines([("a", [(1, 0), (last, 1)])], title="t", names=("epoch", "y")))
    assert all("." not in str(item.text) for item in tree.iter() if item.get("class") == "tick middle")
