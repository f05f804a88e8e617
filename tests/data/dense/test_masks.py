"""Levels, palettes and colours of mask files become classes."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import dense

from resnetctl.data.dense.files import opened
from resnetctl.data.dense.masks import ENDS, MOST_UNKNOWN, MaskReader, pairs, read_masks
from resnetctl.data.dense.scenes import VOID, Annotated, Palette
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
    with pytest.raises(BadImage, match=r"1 pixel has the colour 8 8 8, and no line of classes.txt does"):
        read(encoded(Image.fromarray(np.where(colours == 9, 8, colours))), palette)


def test_levels_are_mapped_so_0_and_255_may_be_classes() -> None:
    mask = encoded(Image.fromarray(np.array([[0, 255]], np.uint8)))
    assert read(mask, Palette(values={0: 0, 255: 1})) == [[0, 1]]
    with pytest.raises(BadImage, match=r"1 pixel has the level 0, and no line of classes.txt does"):
        read(mask, Palette(values={255: 0}))
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


def classes_of(folder: Path, text: str) -> Annotated:
    with opened(dense.masked(folder / "source", names=text)) as files:
        return read_masks(files, pairs(files))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a 1\nb\n", "classes.txt: some lines have a level or a colour, and some have none"),
        ("a\nb\na\n", "classes.txt: a class occurs twice"),
        ("a\n" + "b" * 201, "classes.txt: a line has more than 200 characters"),
        ("\n".join(f"c{number}" for number in range(256)), "masks have at most 255 classes, and these have 256."),
    ],
)
def test_names_that_cannot_be_used_are_a_problem(tmp_path: Path, text: str, problem: str) -> None:
    (line,) = classes_of(tmp_path, text).problems
    assert line.startswith(problem)


def test_255_classes_fit_and_empty_lines_are_no_class(tmp_path: Path) -> None:
    text = "\n\n".join(f"c{number}" for number in range(255))
    found = classes_of(tmp_path, text)
    assert (found.problems, len(found.classes), found.palette.values) == ((), 255, {})


def test_levels_beyond_255_need_names_instead_of_wrapping_round(tmp_path: Path) -> None:
    folder = dense.masked(tmp_path / "source", names=None)
    deep = np.zeros((30, 40), np.uint16)
    deep[:5] = 700
    Image.fromarray(deep).save(folder / "masks/train/000.png")
    with opened(folder) as files:
        (line,) = read_masks(files, pairs(files)).problems
    assert line.startswith("masks have at most 255 classes, and these have 701.")
    assert "classes.txt" in line
    (folder / "classes.txt").write_text("ground 0\nbar 1\ndisc 2\nfar 700\nvoid 255\n")
    store = dense.added(folder, tmp_path / "data")
    truth = store.split("train").truth
    assert truth is not None
    assert truth.counts(np.arange(1), 4)[3] == 200


@pytest.mark.parametrize("word", VOID)
def test_a_class_whose_name_means_not_known_is_none(tmp_path: Path, word: str) -> None:
    found = classes_of(tmp_path, f"ground 0\nbar 1\ndisc 2\n{word.title()} 9\n")
    assert found.classes == ("ground", "bar", "disc")
    assert found.palette.values[9] == 255
    assert read(encoded(Image.fromarray(np.array([[0, 9, 2]], np.uint8))), found.palette) == [[0, 255, 2]]


def test_unknown_values_are_listed_up_to_five_and_counted_as_pixels() -> None:
    levels = np.arange(3, 10, dtype=np.uint8).repeat(2)[None]
    with pytest.raises(BadImage) as caught:
        read(encoded(Image.fromarray(levels)))
    assert (
        caught.value.message
        == "14 pixels have the levels 3, 4, 5, 6, 7, ..., and the levels of the 3 classes are 0 to 2"
    )
    assert caught.value.where == "m.png"


@pytest.mark.parametrize("share", [0.25, 0.2625])
def test_a_class_0_with_a_border_that_is_not_known_is_a_mask_and_half_of_255_is_not(share: float) -> None:
    levels = np.zeros(80, np.uint8)
    levels[: round(80 * share)] = 255
    data = encoded(Image.fromarray(levels[None]))
    if share > MOST_UNKNOWN:
        with pytest.raises(BadImage, match="the levels 0 and 255 only"):
            read(data)
    else:
        assert read(data) == [levels.tolist()]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "F"])
def test_files_that_are_not_of_levels_are_colours(mode: str) -> None:
    image = Image.fromarray(LEVELS).convert(mode)
    with pytest.raises(BadImage, match="a colour image"):
        read(encoded(image, "TIFF"))


def test_a_jpeg_under_another_name_and_a_png_called_jpeg_are_refused() -> None:
    for data, name in (
        (encoded(Image.fromarray(LEVELS), "JPEG"), "m.png"),
        (encoded(Image.fromarray(LEVELS)), "m.JPG"),
    ):
        with pytest.raises(BadImage, match="store it as PNG"):
            read(data, name=name)


def test_a_mask_of_too_many_pixels_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(BadImage, match="3x2 pixels are over the limit of 5"):
        MaskReader(classes=("a", "b", "c"), palette=Palette()).read(
            encoded(Image.fromarray(LEVELS)), "m.png", max_pixels=5
        )


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("names", [("images", "masks"), ("JPEGImages", "SegmentationClass"), ("img", "GT")])
def test_names_of_folders_and_endings_of_tools_are_known(tmp_path: Path, end: str, names: tuple[str, str]) -> None:
    for name, stem in zip(names, ("a.b", f"a.b{end}"), strict=True):
        (tmp_path / name).mkdir()
        Image.fromarray(LEVELS).save(tmp_path / name / f"{stem}.png")
    with opened(tmp_path) as files:
        assert pairs(files) == {f"{names[0]}/a.b.png": f"{names[1]}/a.b{end}.png"}


def test_images_alone_and_masks_of_other_names_are_no_pairs(tmp_path: Path) -> None:
    for name, stem in (("images", "a"), ("masks", "b")):
        (tmp_path / name).mkdir()
        Image.fromarray(LEVELS).save(tmp_path / name / f"{stem}.png")
    with opened(tmp_path) as files:
        assert pairs(files) == {}
