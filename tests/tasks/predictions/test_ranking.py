"""Logits become the likeliest classes, prediction sets, and problems, in the order of the pictures."""

from pathlib import Path
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from resnetctl.data.reading.decode import BadImage
from resnetctl.tasks.predictions.ranking import Ranking, ranked

NAMES = ("cat", "dog", "cow")


def opened(seen: list[int], *, takes_originals: bool = False, callers: int = 1) -> Any:
    """Return a network whose logits are the first three numbers of an image; it notes the sizes of its batches."""

    def predict(images: np.ndarray) -> np.ndarray:
        seen.append(len(images))
        return images.reshape(len(images), -1)[:, :3].astype(np.float32)

    card = SimpleNamespace(classes=NAMES, temperature=1.0, calibration=None)
    return SimpleNamespace(card=card, predict=predict, read=None, takes_originals=takes_originals, callers=callers)


def picture(*logits: int) -> np.ndarray:
    return np.array(logits, np.uint8).reshape(1, 1, 3)


def test_pictures_keep_their_order_and_bad_ones_their_problem() -> None:
    seen: list[int] = []
    bad = BadImage("not an image")
    pictures = [
        (Path("a"), picture(9, 0, 0)),
        (Path("b"), bad),
        (None, picture(0, 0, 9)),
        (Path("c"), picture(0, 9, 0)),
    ]
    found = list(ranked(opened(seen), pictures, ranking=Ranking(top=2, batch=3)))
    assert [item.file for item in found] == [Path("a"), Path("b"), None, Path("c")]
    assert [item.guesses[0][0] for item in found if item.guesses] == ["cat", "cow", "dog"]
    assert (found[1].problem, found[1].guesses) == (bad, ())
    assert all(len(item.guesses) in (0, 2) for item in found)
    assert seen == [2, 1], "two good ones of the first three"


def test_several_callers_keep_the_order_and_are_busy_at_once() -> None:
    both = Barrier(2, timeout=30)  # breaks unless two batches are predicted at once
    net = opened([], callers=2)
    plain = net.predict
    net.predict = lambda images: (both.wait(), plain(images))[1]
    pictures = [(Path(str(number)), picture(number, 0, 9)) for number in range(20)]
    found = list(ranked(net, pictures, ranking=Ranking(batch=5)))
    assert found == list(ranked(opened([]), pictures, ranking=Ranking(batch=5)))


def test_an_error_of_one_caller_is_raised() -> None:
    net = opened([], callers=2)
    net.predict = lambda images: images[9]
    with pytest.raises(IndexError):
        list(ranked(net, [(None, picture(1, 2, 3))] * 3, ranking=Ranking(batch=1)))


def test_originals_are_seen_one_at_a_time() -> None:
    seen: list[int] = []
    list(ranked(opened(seen, takes_originals=True), [(None, picture(1, 2, 3))] * 3, ranking=Ranking(batch=3)))
    assert seen == [1, 1, 1]


@pytest.mark.parametrize(("threshold", "classes"), [(None, None), (0.2, ("cat", "dog")), (0.9, ())])
def test_a_set_has_the_classes_above_the_threshold(threshold: float | None, classes: tuple[str, ...] | None) -> None:
    (found,) = ranked(opened([]), [(None, picture(5, 5, 0))], ranking=Ranking(threshold=threshold))
    assert found.classes == classes
    assert found.guesses[0] == ("cat", pytest.approx(0.4983, abs=1e-4)), "the first class wins a tie"
