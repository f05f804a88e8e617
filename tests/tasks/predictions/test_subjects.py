"""A target that is an image gets a line to paste, and files are decoded as the network's card says."""

import dataclasses

import pytest
from support.trained import IMAGE, card, make_run

from resnetctl.data.reading.parallel import Square
from resnetctl.errors import InputError, UsageError, WeightsError
from resnetctl.hints import in_shell
from resnetctl.system import settings
from resnetctl.tasks.predictions.subjects import resolve_for, square_for


def test_a_run_is_found() -> None:
    run = make_run(card())
    assert resolve_for(None, ["a.png"], settings=settings.load()).path == run.weights


def test_an_image_in_the_place_of_the_target_gets_a_line_to_paste() -> None:
    with pytest.raises(UsageError) as caught:
        resolve_for("a dog.jpg", ["-b.png"], settings=settings.load())
    assert in_shell(caught.value.hint[0]) == "resnetctl predict last -- 'a dog.jpg' -b.png"


def test_a_target_behind_the_images_is_put_first() -> None:
    make_run(card())
    with pytest.raises(UsageError) as caught:
        resolve_for("a.jpg", ["b.jpg", "last"], settings=settings.load())
    assert in_shell(caught.value.hint[0]) == "resnetctl predict last a.jpg b.jpg"
    net = settings.load().runs_dir / "last" / "model.safetensors"
    with pytest.raises(UsageError) as caught:
        resolve_for("a.jpg", [net], settings=settings.load())
    assert in_shell(caught.value.hint[0]) == f"resnetctl predict {net} a.jpg"


def test_a_missing_network_behind_the_images_is_the_error() -> None:
    with pytest.raises(WeightsError, match="no such file") as caught:
        resolve_for("a.jpg", ["gone.safetensors"], settings=settings.load())
    assert caught.value.where == "gone.safetensors"


def test_a_missing_target_and_missing_images_are_errors() -> None:
    with pytest.raises(UsageError, match="no image"):
        resolve_for(None, [], settings=settings.load())
    with pytest.raises(InputError):
        resolve_for("gone", ["a.png"], settings=settings.load())


def test_pictures_are_decoded_as_the_card_says_or_in_their_own_size() -> None:
    image = dataclasses.replace(IMAGE, size=6, resize=8, fit="pad", interpolation="bicubic")
    wanted = Square(
        channels=1, resize=8, fit="pad", max_pixels=99, interpolation="bicubic", crop=6, has_digest=False
    )  # fmt: skip
    assert square_for(image, is_own=False, max_pixels=99) == wanted
    assert square_for(image, is_own=True, max_pixels=99) == dataclasses.replace(wanted, resize=0, crop=0)
