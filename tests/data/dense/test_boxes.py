"""One box at a time: what is refused, what is mended."""

import pytest

from resnetctl.data.dense.boxes import BoxCheck
from resnetctl.data.dense.geometry import placement
from resnetctl.data.dense.scenes import Corners, Object, Scene


def scene(*corners: Corners) -> Scene:
    objects = tuple(Object(corners=item, label="a", name=f"object {n}") for n, item in enumerate(corners))
    return Scene(name="x.jpg", split=None, where="x.xml", objects=objects)


@pytest.mark.parametrize(
    ("corners", "problem"),
    [
        ((5, 5, 4, 9), "inverted"),
        ((5, 5, 9, 4), "inverted"),
        ((-9, 0, -1, 5), "outside"),
        ((0, -9, 5, 0), "outside"),
        ((41, 0, 50, 5), "outside"),
        ((0, 30, 5, 31), "outside"),
        ((float("nan"), 0, 5, 5), "not finite"),
        ((0, 0, float("inf"), 5), "not finite"),
    ],
)
def test_what_cannot_be_a_box_is_a_problem(corners: Corners, problem: str) -> None:
    check = BoxCheck()
    assert check.check(scene(corners), (40, 30)) == []
    assert len(check.problems) == 1
    assert check.problems[0].startswith("x.xml: object 0: the box (")
    assert problem in check.problems[0]


@pytest.mark.parametrize("corners", [(5, 5, 5, 9), (5, 5, 9, 5), (5, 5, 5, 5)])
def test_a_box_without_area_is_left_out_unless_strict(corners: Corners) -> None:
    check, strict = BoxCheck(), BoxCheck(strict=True)
    assert check.check(scene(corners), (40, 30)) == strict.check(scene(corners), (40, 30)) == []
    assert (check.flat, check.problems, len(strict.problems)) == (["x.xml: object 0"], [], 1)


def test_a_box_that_touches_the_border_is_whole() -> None:
    check = BoxCheck()
    assert len(check.check(scene((0, 0, 40, 30)), (40, 30))) == 1
    assert check.notes(20) == []


def test_notes_count_what_was_mended_and_name_the_first() -> None:
    check = BoxCheck()
    for _ in range(3):
        check.check(scene((-1, 0, 5, 5), (2, 2, 2, 2)), (40, 30))
    check.check(scene(), (40, 30))
    assert check.notes(2) == [
        "boxes without area, left out: 3 (x.xml: object 1; x.xml: object 1 and 1 more)",
        "boxes that reach beyond their picture, clipped: 3",
        "images without an object: 1",
    ]


def test_what_a_crop_cuts_off_is_not_stored() -> None:
    truth = BoxCheck().truth(
        scene((0, 0, 4, 30), (10, 5, 20, 25)), (40, 30), place=placement(40, 30, side=30, fit="crop"), classes=("a",)
    )
    assert truth.boxes.tolist() == [[5, 5, 15, 25]]
    assert truth.size == (40, 30)
