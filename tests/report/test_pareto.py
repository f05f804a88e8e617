"""The Pareto plot joins the networks that no other beats."""

from xml.etree import ElementTree

from resnetctl.report import svg
from resnetctl.report.page import pareto_file
from resnetctl.report.pareto import front, pareto_plot

POINTS = [
    ("whole", 2.0, 0.90, (0.88, 0.92)),
    ("cut", 1.0, 0.60, (0.57, 0.63)),
    ("finetune", 1.0, 0.89, (0.87, 0.91)),
    ("int8", 0.5, 0.885, (0.86, 0.90)),
]


def test_the_front_has_the_networks_that_no_other_beats() -> None:
    assert [name for name, *_ in front(POINTS)] == ["int8", "finetune", "whole"]


def test_the_plot_is_one_xml_document_with_every_number_in_its_table() -> None:
    plot = pareto_plot(POINTS)
    root = ElementTree.fromstring(pareto_file(POINTS))
    circles = [item for item in root.iter() if item.tag.endswith("circle")]
    assert len(circles) == len(plot.rows) == 4
    assert plot.rows[0] == ("whole", "2.000", "90.00\u00a0%", "88.00\u00a0% to 92.00\u00a0%")


def test_one_network_makes_a_plot_too() -> None:
    assert b"<svg" in pareto_file(POINTS[:1])


def test_every_name_is_inside_the_drawing_and_covers_no_mark() -> None:
    slowest = ("a-name-of-sixteen", 2.02, 0.905, (0.88, 0.92))
    root = ElementTree.fromstring(pareto_plot([*POINTS, slowest]).drawing)
    names = [item for item in root.iter() if item.tag.endswith("text") and item.get("class") == "name middle"]
    boxes = {
        item.text: (float(item.get("x", 0)), float(item.get("y", 0)), svg.LETTER * len(item.text or "") / 2)
        for item in names
        if item.get("transform") is None and item.text != "ms an image, one thread"
    }
    assert len(boxes) == 5
    assert all(x - half >= 0 and x + half <= svg.WIDTH for x, _, half in boxes.values())
    marks = [
        (float(item.get("cx", 0)), float(item.get("cy", 0))) for item in root.iter() if item.tag.endswith("circle")
    ]
    for x, y, half in boxes.values():
        assert not [mark for mark in marks if abs(mark[0] - x) < half and y - 10 < mark[1] < y + 2]
