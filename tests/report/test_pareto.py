"""The Pareto plot joins the networks that no other beats."""

from xml.etree import ElementTree

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
    assert plot.rows[0] == ("whole", "2.000", "90.00%", "88.00% 92.00%")


def test_one_network_makes_a_plot_too() -> None:
    assert b"<svg" in pareto_file(POINTS[:1])
