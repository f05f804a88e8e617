"""The gate of raw files finds any pixel that differs from those of the project."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from support.raw_files import raw_file
from support.trained import IMAGE

from resnetctl.data.images import prepare_array
from resnetctl.deploy.parity import BATCHES
from resnetctl.deploy.raw import gate
from resnetctl.deploy.raw.writer import preprocessing_alone
from resnetctl.spec import ImageSpec

PHOTO = np.random.default_rng(3).integers(0, 256, (40, 61, 1), dtype=np.uint8)


def test_made_up_pictures_are_of_every_kind_and_the_same_every_time() -> None:
    pictures = list(gate.made_up(ImageSpec(size=32, resize=36)))
    assert len(pictures) == gate.about()["made_up"] == 30
    assert {picture.shape[2] for picture in pictures} == {1, 3, 4}
    assert {picture.shape[:2] for picture in pictures} >= {(1, 1), (36, 36)}
    shrinks = [(height - 36, width - 36) for height, width, _ in (picture.shape for picture in pictures)]
    assert {height > max(0, 2 * width) for height, width in shrinks} == {True, False}
    again = gate.made_up(ImageSpec(size=32, resize=36))
    assert all(np.array_equal(one, other) for one, other in zip(pictures, again, strict=True))


def test_a_file_with_the_right_pixels_has_no_problem() -> None:
    assert gate.pixel_problems(preprocessing_alone(raw_file(), IMAGE), IMAGE, pictures=[PHOTO]) == []


def changed(name: str, number: float) -> bytes:
    """Return the preprocessing with another number in its constant of float64, float32 or int64."""
    model = onnx.load_model_from_string(preprocessing_alone(raw_file(), IMAGE))
    tensors = [item for item in model.graph.initializer if numpy_helper.to_array(item).dtype == name]
    tensor = next(item for item in tensors if numpy_helper.to_array(item).ndim == 0)
    array = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(np.full_like(array, number), tensor.name))
    return model.SerializeToString()


def test_other_pixels_are_listed_with_their_size_and_difference() -> None:
    problems = gate.pixel_problems(changed("float64", 0.75), IMAGE, pictures=[PHOTO])
    assert len(problems) == gate.SHOWN + 1
    assert problems[0].startswith("an image of 61x40 pixels, 1 channel: ")
    assert "values of 64 differ, by up to" in problems[0]
    assert problems[-1].startswith("and ")


def test_a_graph_that_onnxruntime_refuses_is_a_problem() -> None:
    assert len(gate.pixel_problems(b"no onnx", IMAGE, pictures=[])) == 1


def test_a_graph_that_fails_on_a_picture_is_a_problem() -> None:
    problems = gate.pixel_problems(changed("int64", 9), IMAGE, pictures=[PHOTO])
    assert problems[0].startswith("an image of 61x40 pixels, 1 channel: ")
    assert "image_needs_1_3_or_4_channels" in problems[0]


@pytest.mark.parametrize("count", [1, 5])
def test_batches_hold_equal_parts_of_the_pictures(count: int) -> None:
    pictures = [PHOTO[: 20 + number, : 50 - number] for number in range(count)]
    batches = list(gate.batches(pictures, IMAGE))
    assert [len(given) for _, given in batches] == list(BATCHES)
    for prepared, given in batches:
        assert np.array_equal(prepared[0], prepare_array(given[0], IMAGE))
