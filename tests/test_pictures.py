"""The pictures of the README: a script makes them from real runs, and they show what a run shows today."""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.scripts import load_script

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of Unix")

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
PAGES = PICTURES.parents[1] / "examples" / "pages"
# What another machine, day or load changes in a picture: these become "?".
CHANGING = (
    r"(?<=runs/)\d{8}-\d{6}",
    r"(?<=Done in ).+?(?=   )",
    r"(?<=epoch )\d+(?= of)",
    r"(?<=val accuracy {4})[\d.]+ %|(?<=interval )[\d.-]+",
)


@pytest.fixture(scope="module")
def terminal() -> Any:
    """The script `docs/pictures/terminal.py` as a module."""
    return load_script(PICTURES / "terminal.py")


def stable(lines: list[str]) -> list[str]:
    """The lines without measured values and precision: of an epoch, its number and its learning rate are left."""
    kept = []
    for line in lines:
        epoch = re.match(r" +\d+ +[\d.e-]+(?= )", line)
        text = epoch.group() if epoch else re.sub("|".join(CHANGING), "?", line.replace("   bf16", ""))
        if not text.startswith("about "):  # only slow machines announce how long a run will take
            kept.append(text)
    return kept


@pytest.mark.timeout(600)
def test_the_picture_shows_what_the_command_shows_today(terminal: Any, tmp_path: Path) -> None:
    picture = terminal.read(terminal.PICTURE.read_text(encoding="utf-8"))
    assert picture[0] == f"$ {terminal.COMMAND}"
    lines = terminal.screen(terminal.record(tmp_path))
    assert stable(picture[1:]) == stable(lines), "run docs/pictures/terminal.py to draw the picture again"
    assert sum(line.endswith("*") for line in lines) >= 3, "the network learns"


def test_a_picture_can_be_read_back(terminal: Any) -> None:
    lines = ["$ resnetctl train", "", " epoch      lr", "   <1>  & 0.1 %", "  Next"]
    assert terminal.read(terminal.draw(lines)) == lines
    painted = ["\x1b[1;32m$\x1b[0m resnetctl train", *lines[1:]]
    assert terminal.read(terminal.draw(painted)) == lines
    assert terminal.draw(painted) != terminal.draw(lines)


def test_the_screen_is_what_redrawing_leaves(terminal: Any) -> None:
    first = "Loading...\r          \rheader\r\n\r\nepoch 1/2\r\nCtrl-C stops\r\n"
    output = first + "\x1b[2F\x1b[J     1  0.1\r\nepoch 2/2\r\n\x1b[1F\x1b[JDone\r\n"
    assert terminal.screen(output) == ["header", "", "     1  0.1", "Done"]


def test_a_changed_column_is_noticed() -> None:
    before = ["     1  0.0990       2.307     1.5 s  *", "Done in 24.0 s   best epoch 13 of 15"]
    faster = ["     1  0.0990       2.309     0.5 s", "Done in 1 min 2 s   best epoch 9 of 15"]
    assert stable(before) == stable(faster)
    assert stable(before) != stable(["     1  0.1000       2.307     1.5 s  *", before[1]])
    assert stable(before) != stable([before[0], "Done in 24.0 s   best epoch 13 of 16"])


@pytest.mark.timeout(600)
def test_the_picture_of_the_report_shows_a_report_of_today(tmp_path: Path) -> None:
    page = load_script(PICTURES / "page.py")
    if page.find_browser() is None:
        pytest.skip("Chromium is not installed")
    written = page.write_page(tmp_path)
    page.photograph(written, tmp_path / "report.png")
    with Image.open(tmp_path / "report.png") as ours, Image.open(PICTURES / "report.png") as theirs:
        assert ours.size == theirs.size == page.SIZE
        columns = [bool(np.asarray(picture.convert("L")).std(axis=0).max() > 1) for picture in (ours, theirs)]
        differing = np.abs(np.asarray(ours.convert("L"), float) - np.asarray(theirs.convert("L"), float)) > 32
    assert all(columns), "an empty page"
    assert differing.mean() < 0.12, "more than numbers changed: run `python docs/pictures/page.py`"
    example = PAGES / "digits.html"
    assert always(headings(example)) == always(headings(written)), "run `python examples/make_pages.py`"


def always(sections: list[str]) -> list[str]:
    """The sections that do not depend on what this processor's network got wrong."""
    return [name for name in sections if name != "Suspect labels"]


def headings(page: Path) -> list[str]:
    found = re.findall(r"<h2[^>]*>(.*?)</h2>", page.read_text(encoding="utf-8"))
    return [heading for heading in found if heading != "Suspect labels"]  # some processors round so that there are none


@pytest.mark.parametrize("name", ["digits", "cells"])
def test_an_example_page_is_small_and_asks_for_nothing(name: str) -> None:
    text = (PAGES / f"{name}.html").read_text(encoding="utf-8")
    assert len(text) < 500_000
    assert not re.search(r"<script|(?:src|href)=[\"']?https?:|url\([\"']?https?:", text)
    assert "Verdict" in headings(PAGES / f"{name}.html")
