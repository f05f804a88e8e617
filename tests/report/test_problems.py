"""Bad images are counted, the first thousand are listed, and the hint reads all of them."""

from pathlib import Path

import pytest

from resnetctl.data.reading.decode import BadImage
from resnetctl.errors import DataError
from resnetctl.hints import Setting
from resnetctl.report.problems import KEPT, Problems


def test_the_error_lists_every_bad_image_and_the_largest_limit() -> None:
    problems = Problems()
    problems.add("a.png", BadImage("no image"))
    problems.add("b.png", BadImage("too large", hint=Setting("max_pixels", 7)))
    problems.add("c.png", BadImage("larger", hint=Setting("max_pixels", 9)))
    with pytest.raises(DataError, match="3 images cannot be read; the others are classified") as caught:
        problems.require(4)
    assert caught.value.problems == ("a.png: no image", "b.png: too large", "c.png: larger")
    assert caught.value.hint == (Setting("max_pixels", 9),)


def test_a_missing_file_is_shown_what_is_named_alike(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").touch()
    problems = Problems()
    problems.add(tmp_path / "cat.jpg", BadImage("no image"))
    problems.add(tmp_path / "cta.jpg", BadImage("there is no such file"))
    with pytest.raises(DataError) as caught:
        problems.require(3)
    assert caught.value.hint == (f"did you mean '{tmp_path / 'cat.jpg'}'?",)


def test_without_a_good_image_nothing_is_said_of_others() -> None:
    problems = Problems()
    problems.add(None, BadImage("no image"))
    with pytest.raises(DataError) as caught:
        problems.require(1)
    assert (caught.value.message, caught.value.problems) == ("1 image cannot be read", ("image: no image",))


def test_a_million_bad_images_keep_a_thousand_lines() -> None:
    problems = Problems()
    for number in range(KEPT + 5):
        problems.add(str(number), BadImage("no image"))
    assert (problems.count, len(problems.lines)) == (KEPT + 5, KEPT)
    assert problems.listed()[-1] == "and 5 images more"


def test_no_problem_is_no_error() -> None:
    Problems().require(0)
