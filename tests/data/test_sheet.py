"""The contact sheet is the same every time and keeps small images sharp."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFont
from support import dense

from resnetctl.data import sheet as sheet_module
from resnetctl.data.dense.drawing import COLOURS
from resnetctl.data.sheet import COLUMNS, MAX_CLASSES, draw_sheet, write_sheet
from resnetctl.data.store import Store, build, open_store
from resnetctl.errors import DataError, UsageError
from resnetctl.spec import DatasetCard, ImageSpec


def make(data_dir: Path, *, size: int = 8, channels: int = 3, classes: int = 3, each: int = 12) -> Store:
    names = tuple(f"class {number:03}" for number in range(classes))
    image = ImageSpec(size=size, channels=channels, mean=(0.5,) * channels, std=(0.5,) * channels)
    card = DatasetCard(name="x", classes=names, image=image, splits={})
    with build(data_dir, "x", draft=card) as builder:
        for number in range(each):
            for label, name in enumerate(names):
                pixels = np.full((size, size, channels), (20 * number + label) % 256, np.uint8)
                builder.add("train", pixels, label=name, name="", sha256="")
    return open_store(data_dir, "x")


def cells(sheet: Image.Image, side: int, row: int) -> list[int]:
    """Return the value in the middle of each image of a row."""
    left = sheet.width - COLUMNS * (side + 4)
    top = 4 + row * (side + 4) + side // 2
    return [sheet.getpixel((left + column * (side + 4) + side // 2, top))[0] for column in range(COLUMNS)]


def test_each_class_is_a_row_of_evenly_spread_images(tmp_path: Path) -> None:
    sheet = draw_sheet(make(tmp_path), "train")
    rows = [number * 12 // COLUMNS for number in range(COLUMNS)]
    for label in range(3):
        assert cells(sheet, 64, label) == [20 * row + label for row in rows]


def test_the_sheet_is_the_same_every_time(tmp_path: Path) -> None:
    store = make(tmp_path)
    write_sheet(store, tmp_path / "1.png")
    write_sheet(store, tmp_path / "2.png")
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()


@pytest.mark.parametrize(("size", "side"), [(8, 64), (28, 84), (32, 64), (64, 64), (96, 96), (256, 128)])
def test_small_images_are_enlarged_by_whole_factors(tmp_path: Path, size: int, side: int) -> None:
    sheet = draw_sheet(make(tmp_path, size=size, each=2), "train")
    assert sheet.height == 3 * (side + 4) + 4


def test_enlarged_pixels_stay_sharp(tmp_path: Path) -> None:
    card = DatasetCard(
        name="x", classes=("a",), image=ImageSpec(size=8, channels=1, mean=(0.5,), std=(0.5,)), splits={}
    )
    board = (np.indices((8, 8)).sum(0) % 2 * 255).astype(np.uint8)[..., None]
    with build(tmp_path, "x", draft=card) as builder:
        builder.add("train", board, label="a", name="", sha256="")
    sheet = np.asarray(draw_sheet(open_store(tmp_path, "x"), "train").convert("L"))
    left = sheet.shape[1] - COLUMNS * 68
    assert (sheet[4:68, left : left + 64] == np.kron(board[..., 0], np.ones((8, 8)))).all()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_images_with_any_number_of_channels_are_drawn(tmp_path: Path, channels: int) -> None:
    assert cells(draw_sheet(make(tmp_path, channels=channels), "train"), 64, 0)[1] == 20


def test_missing_images_leave_white_cells(tmp_path: Path) -> None:
    assert cells(draw_sheet(make(tmp_path, each=2), "train"), 64, 0) == [0, 20] + [255] * 8


def test_too_many_classes_are_counted_in_a_last_line(tmp_path: Path) -> None:
    store = make(tmp_path, classes=MAX_CLASSES + 5, each=1)
    sheet = draw_sheet(store, "train")
    assert sheet.height == MAX_CLASSES * 68 + 4 + 30
    assert np.asarray(sheet)[-25:, :100].min() < 100  # there is text


def test_odd_class_names_are_drawn(tmp_path: Path) -> None:
    card = DatasetCard(name="x", classes=("a\nb", "\udcff", "写真", "x" * 300), image=ImageSpec(size=8), splits={})
    with build(tmp_path, "x", draft=card) as builder:
        for name in card.classes:
            builder.add("train", np.zeros((8, 8, 3), np.uint8), label=name, name="", sha256="")
    assert draw_sheet(open_store(tmp_path, "x"), "train").width < 1100


def drawn_names(tmp_path: Path, *classes: str) -> bytes:
    """Return the part of a sheet with the class names."""
    card = DatasetCard(name="x", classes=classes, image=ImageSpec(size=8), splits={})
    with build(tmp_path, "x", draft=card, replace=True) as builder:
        for name in card.classes:
            builder.add("train", np.zeros((8, 8, 3), np.uint8), label=name, name="", sha256="")
    sheet = draw_sheet(open_store(tmp_path, "x"), "train")
    return sheet.crop((0, 0, sheet.width - COLUMNS * 68, sheet.height)).tobytes()


def test_letters_that_pillow_lacks_come_from_system_fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        ImageFont.truetype("DejaVuSans.ttf", 15)
    except OSError:
        pytest.skip("the system has no DejaVu Sans")
    assert len({drawn_names(tmp_path, name) for name in ("Käse", "Kase", "Köse", "K?se", "Këse", "Kñse")}) == 6


@pytest.mark.parametrize(
    ("name", "shown"),
    [("Käse", "Kase"), ("Ka\u0308se", "Kase"), ("Łódź", "?odz"), ("写真", "??"), ("naïve…", "naive…")],
)
def test_letters_without_a_font_lose_their_accent_or_become_a_question_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, shown: str
) -> None:
    monkeypatch.setattr(sheet_module, "_SYSTEM_FONTS", ())
    assert drawn_names(tmp_path, name) == drawn_names(tmp_path, shown)


def test_ascii_names_do_not_use_system_fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = drawn_names(tmp_path, "cat", "dog")
    monkeypatch.setattr(sheet_module, "_SYSTEM_FONTS", ())
    assert drawn_names(tmp_path, "cat", "dog") == here


def test_a_missing_split_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no test split"):
        write_sheet(make(tmp_path), tmp_path / "x.png", split="test")
    assert not (tmp_path / "x.png").exists()


def test_a_missing_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        write_sheet(make(tmp_path), tmp_path / "nowhere" / "x.png")


def test_the_row_of_a_class_has_images_with_a_box_or_a_pixel_or_a_label_of_it() -> None:
    def rows(**truth: Any) -> list[list[int]]:
        kinds = {"masks": None, "tags": None, "check": lambda rows: None, **truth}
        stored: Any = SimpleNamespace(truth=SimpleNamespace(**kinds), labels=np.array([0, 0, 0]))
        return [found.tolist() for found in sheet_module._rows(stored, 3)]

    assert rows(offsets=np.array([0, 2, 2, 3]), labels=np.array([0, 1, 1])) == [[0], [0, 2], []]
    masks = np.array([[[0, 1]], [[0, 255]], [[1, 1]]], np.uint8)
    assert rows(masks=masks) == [[0, 1], [0, 2], []], "not only its rarest class; 255 is none"
    assert rows(tags=np.array([[1, 1, 0], [0, 0, 0], [0, 1, 0]])) == [[0], [0, 2], []]


def test_the_sheet_checks_the_masks_that_it_reads() -> None:
    checked: list[int] = []
    truth = SimpleNamespace(masks=np.zeros((3, 1, 1), np.uint8), tags=None, check=lambda rows: checked.extend(rows))
    stored: Any = SimpleNamespace(truth=truth, labels=np.zeros(3, np.int64))
    sheet_module._rows(stored, 1)
    assert checked == [0, 1, 2]


@pytest.mark.parametrize(("source", "is_drawn"), [(dense.voc, True), (dense.tagged, False)])
def test_a_class_has_a_colour_where_something_is_drawn_in_it(
    tmp_path: Path, source: Callable[[Path], Path], is_drawn: bool
) -> None:
    sheet = draw_sheet(dense.added(source(tmp_path / "source"), tmp_path / "data"), "train")
    margin = sheet.crop((0, 0, sheet.width - COLUMNS * (80 + 4), sheet.height))
    colours = {colour for _, colour in margin.getcolors(sheet.width * sheet.height) or []}
    assert set(COLOURS[:2]) <= colours if is_drawn else not colours & set(COLOURS)
