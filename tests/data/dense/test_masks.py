"""Levels, palettes and colours of mask files become classes."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import dense

from resnetctl.data.dense.files import opened
from resnetctl.data.dense.masks import MaskReader, pairs, read_masks
from resnetctl.data.dense.scenes import Palette
from resnetctl.data.reading.decode import BadImage

LEVELS = np.array([[0, 1, 2], [2, 255, 0]], np.uint8)


def encoded(image: Image.Image, format: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, format)
    return file.getvalue()


def read(data: bytes, palette: Palette = Palette(), name: str = "m.png") -> Any:  # noqa: B008
    return MaskReader(classes=("a", "b", "c"), palette=palette).read(data, name).tolist()


def test_a_palette_file_gives_its_indices_and_never_its_colours() -> None:
    image = Image.fromarray(LEVELS, "P")
    image.putpalette([200, 10, 30] * 256)  # every index has the same colour
    assert read(encoded(image)) == LEVELS.tolist()


@pytest.mark.parametrize("mode", ["L", "I;16"])
def test_grey_files_give_their_levels(mode: str) -> None:
    image = Image.fromarray(LEVELS if mode == "L" else LEVELS.astype(np.uint16))
    assert read(encoded(image)) == LEVELS.tolist()


def test_a_bilevel_file_has_the_classes_0_and_1() -> None:
    assert read(encoded(Image.fromarray(np.array([[True, False]])))) == [[1, 0]]


def test_colours_are_mapped_and_other_colours_are_counted() -> None:
    palette = Palette(values={(0, 0, 0): 0, (255, 0, 0): 2, (9, 9, 9): 255})
    colours = np.array([[[0, 0, 0], [255, 0, 0], [9, 9, 9]]], np.uint8)
    assert read(encoded(Image.fromarray(colours)), palette) == [[0, 2, 255]]
    with pytest.raises(BadImage, match="1 pixel have the values"):
        read(encoded(Image.fromarray(np.where(colours == 9, 8, colours))), palette)


def test_levels_are_mapped_so_0_and_255_may_be_classes() -> None:
    mask = encoded(Image.fromarray(np.array([[0, 255]], np.uint8)))
    assert read(mask, Palette(values={0: 0, 255: 1})) == [[0, 1]]
    with pytest.raises(BadImage, match=r"classes\.txt"):
        read(mask)


def test_a_jpeg_is_no_mask() -> None:
    with pytest.raises(BadImage, match="JPEG"):
        read(encoded(Image.fromarray(LEVELS), "JPEG"))


@pytest.mark.parametrize(
    ("text", "classes", "values"),
    [
        ("ground\nbar\ndisc\n", ("ground", "bar", "disc"), {}),
        ("ground\nbar\ndisc\nvoid\n", ("ground", "bar", "disc"), {0: 0, 1: 1, 2: 2, 3: 255}),
        ("void\nbar\n", ("bar",), {0: 255, 1: 0}),
        ("wet road 1 2 3\ncar 4,5,6\n", ("wet road", "car"), {(1, 2, 3): 0, (4, 5, 6): 1}),
        ("cell 255\nground 0\n", ("cell", "ground"), {255: 0, 0: 1}),
    ],
)
def test_classes_txt_names_classes_levels_and_colours(
    tmp_path: Path, text: str, classes: tuple[str, ...], values: dict[Any, int]
) -> None:
    folder = dense.masked(tmp_path / "masks", names=text)
    with opened(folder) as files:
        found = read_masks(files, pairs(files))
    assert found.problems == ()
    assert found.classes == classes
    assert dict(found.palette.values) == values


def test_without_names_classes_are_numbered_up_to_the_largest_level(tmp_path: Path) -> None:
    with opened(dense.masked(tmp_path / "masks", names=None)) as files:
        assert read_masks(files, pairs(files)).classes == ("class 0", "class 1", "class 2")


def test_masks_may_lie_below_the_splits_and_have_an_ending(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for kind, end in (("image", ""), ("mask", "_mask")):
            (tmp_path / split / kind).mkdir(parents=True)
            Image.fromarray(LEVELS).save(tmp_path / split / kind / f"a{end}.png")
    with opened(tmp_path) as files:
        found = pairs(files)
        assert found == {f"{split}/image/a.png": f"{split}/mask/a_mask.png" for split in ("test", "train")}
        assert {scene.split for scene in read_masks(files, found).scenes} == {"train", "test"}
