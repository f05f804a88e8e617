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
        "boxes that reach beyond their image, clipped: 3",
        "images without an object: 1",
    ]


def test_what_a_crop_cuts_off_is_not_stored() -> None:
    truth = BoxCheck().truth(
        scene((0, 0, 4, 30), (10, 5, 20, 25)), (40, 30), place=placement(40, 30, side=30, fit="crop"), classes=("a",)
    )
    assert truth.boxes.tolist() == [[5, 5, 15, 25]]
    assert truth.size == (40, 30)


@pytest.mark.parametrize("corners", [(40, 5, 40, 9), (0, 0, 0, 30), (0, 30, 40, 30)])
def test_a_flat_box_on_the_border_is_flat_and_not_outside(corners: Corners) -> None:
    check = BoxCheck()
    assert check.check(scene(corners), (40, 30)) == []
    assert (check.problems, check.flat) == ([], ["x.xml: object 0"])


@pytest.mark.parametrize(
    ("corners", "stored"),
    [
        ((-3, -4, 5, 6), [0, 0, 5, 6]),
        ((35, 25, 99, 99), [35, 25, 40, 30]),
        ((-1e9, -1e9, 1e9, 1e9), [0, 0, 40, 30]),
        ((0.5, 1.25, 39.5, 29.75), [0.5, 1.25, 39.5, 29.75]),
    ],
)
def test_a_box_is_stored_inside_its_picture(corners: Corners, stored: list[float]) -> None:
    check, item, place = BoxCheck(), scene(corners), placement(40, 30, side=40, fit="squash")
    assert len(check.check(item, (40, 30))) == 1
    truth = check.truth(item, (40, 30), place=placement(40, 30, side=40, fit="pad"), classes=("a",))
    assert truth.boxes.tolist() == [[stored[0], stored[1] + 5, stored[2], stored[3] + 5]]
    assert check.clipped == (tuple(stored) != corners)
    squashed = check.truth(item, (40, 30), place=place, classes=("a",)).boxes[0]
    assert squashed.tolist() == pytest.approx([stored[0], stored[1] * 4 / 3, stored[2], stored[3] * 4 / 3])


def test_good_boxes_of_a_bad_picture_are_still_judged_and_labels_keep_their_order() -> None:
    check = BoxCheck()
    kept = check.check(scene((1, 1, 3, 3), (9, 9, 5, 5), (2, 2, 2, 5), (-9, 2, -5, 5), (4, 4, 9, 9)), (40, 30))
    assert [item.name for item in kept] == ["object 0", "object 4"]
    assert [problem.split(": ")[1] for problem in check.problems] == ["object 1", "object 3"]
    assert check.negatives == 0
