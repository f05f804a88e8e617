"""Curves are SVG files that a notebook draws in a grid, with titles, and print as one line."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from resnetctl.errors import UsageError
from resnetctl.report.curves import Curves, curves_of
from resnetctl.report.page import curve_file
from resnetctl.runs import RunDir, create


def run(folder: Path, epochs: int) -> RunDir:
    made = create(folder, "one", config="", sources={}, env={})
    for epoch in range(1, epochs + 1):
        made.log({"epoch": epoch, "train_loss": 1 / epoch, "lr": 0.1}, {"epoch": epoch})
    return made


def test_curves_print_as_one_short_line(tmp_path: Path) -> None:
    curves = curves_of(run(tmp_path, 3))
    assert str(curves) == repr(curves) == "Curves(loss.svg, learning-rate.svg)"


def test_a_notebook_gets_a_grid_of_figures_with_titles_and_a_width(tmp_path: Path) -> None:
    page = ElementTree.fromstring(curves_of(run(tmp_path, 3))._repr_html_())
    assert "grid-template-columns" in page.attrib["style"]
    assert [figure.tag for figure in page] == ["figure", "figure"]
    assert all("max-width:420px" in figure.attrib["style"] for figure in page)
    assert [figure[0].text for figure in page] == ["Loss by epoch", "Learning rate by epoch"]


def test_a_title_stays_escaped() -> None:
    drawn = Curves({"a.svg": curve_file([(0, 0), (1, 1)], title="a < b", names=("x", "y"))})
    assert "<figcaption>a &lt; b</figcaption>" in drawn._repr_html_()


def test_a_run_of_one_epoch_has_no_curve(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a curve needs two epochs"):
        curves_of(run(tmp_path, 1))
