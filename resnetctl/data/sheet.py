"""Draw a contact sheet: one row per class, with its name and a fixed choice of its images."""

import contextlib
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from resnetctl.data.dense.drawing import colour, draw_boxes, draw_mask
from resnetctl.data.store import Store, StoredSplit
from resnetctl.spec import Split
from resnetctl.system import storage

COLUMNS = 10
MAX_CLASSES = 100  # rows; a last line counts the other classes
_CELL = 64  # smallest side in pixels: small images are enlarged by whole factors
_GAP = 4
_FONT = 15  # pixels
_SYSTEM_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "arial.ttf", "Arial Unicode.ttf")
_NO_LETTER = "\uffff"  # no font has it, so it is drawn like every missing letter
_INK, _PAPER = (30, 30, 30), (255, 255, 255)


def write_sheet(store: Store, path: Path, *, split: Split = "train") -> None:
    """Write the sheet of a split as PNG, whatever the suffix of `path`.

    Raises `DataError` when the dataset has no such split, `UsageError` when `path` cannot be written.
    """
    with storage.staged_file(path) as file:
        draw_sheet(store, split).save(file, "PNG")


def draw_sheet(store: Store, split: Split) -> Image.Image:
    """Return a picture with up to ten images of each class of a split, evenly spaced over its rows.

    Boxes and masks are drawn on the images, in the colours of their classes, which stand beside the names. The row of a
    class then has images with a box of it, or with a pixel of it in their mask. An image with several classes may be in
    several rows.
    """
    stored = store.split(split)
    classes = store.card.classes[:MAX_CLASSES]
    side = _side(store.card.image.resize)
    fonts = _fonts()
    names = [_drawable(_label(name), fonts) for name in classes]
    rows = _rows(stored, len(classes))
    margin = max(int(font.getlength(name)) for name, font in names) + 3 * _GAP
    extra = len(store.card.classes) - len(classes)
    height = len(classes) * (side + _GAP) + _GAP + (2 * _FONT if extra else 0)
    sheet = Image.new("RGB", (margin + COLUMNS * (side + _GAP), height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for label, (name, font) in enumerate(names):
        top = _GAP + label * (side + _GAP)
        draw.text((_GAP, top + side // 2), name, fill=_INK, font=font, anchor="lm")
        if stored.truth is not None and stored.truth.tags is None:
            swatch = (_GAP, top + side // 2 + _FONT, _GAP + 2 * _FONT, top + side // 2 + _FONT + _GAP)
            draw.rectangle(swatch, fill=colour(label))
        for column, row in enumerate(_spread(rows[label])):
            picture = _with_truth(stored, int(row))
            sheet.paste(_cell(picture, side), (margin + column * (side + _GAP), top))
    if extra:
        draw.text((_GAP, height - _FONT), f"and {extra:,} more classes", fill=_INK, font=fonts[0], anchor="lm")
    return sheet


def _rows(stored: StoredSplit, classes: int) -> list[NDArray[np.int64]]:
    """Return the rows of each of the first `classes` classes."""
    truth = stored.truth
    if truth is None:
        return [np.flatnonzero(stored.labels == label) for label in range(classes)]
    if truth.masks is not None:
        truth.check(np.arange(len(truth.masks)))
        shown = np.stack([np.bincount(mask.ravel(), minlength=256)[:classes] > 0 for mask in truth.masks])
        return [np.flatnonzero(column) for column in shown.T]
    if truth.tags is not None:
        return [np.flatnonzero(truth.tags[:, label]) for label in range(classes)]
    images = np.searchsorted(truth.offsets, np.arange(len(truth.labels)), side="right") - 1
    return [np.unique(images[truth.labels == label]) for label in range(classes)]


def _with_truth(stored: StoredSplit, row: int) -> NDArray[np.uint8]:
    """Return a stored image, with its boxes or its mask drawn on it where the dataset has them."""
    image: NDArray[np.uint8] = stored.images[row]
    truth = stored.truth
    if truth is None or truth.tags is not None:
        return image
    truth.check(np.array([row]))
    picture = Image.fromarray(np.ascontiguousarray(image[..., :3] if image.shape[-1] >= 3 else image[..., 0]))
    own = slice(truth.offsets[row], truth.offsets[row + 1]) if truth.masks is None else slice(0)
    drawn = draw_boxes(picture, truth.boxes[own], labels=truth.labels[own])
    pixels: NDArray[np.uint8] = np.asarray(drawn if truth.masks is None else draw_mask(picture, truth.masks[row]))
    return pixels


def _side(stored: int) -> int:
    """Return the side of a cell: the smallest multiple of the stored side that is at least 64; at most 128."""
    return stored * -(-_CELL // stored) if stored <= 2 * _CELL else 2 * _CELL


def _spread(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    count = min(COLUMNS, len(rows))
    return rows[np.arange(count) * len(rows) // max(1, count)]


def _cell(image: NDArray[np.uint8], side: int) -> Image.Image:
    image = image[..., :3] if image.shape[-1] >= 3 else image[..., 0]
    picture = Image.fromarray(np.ascontiguousarray(image)).convert("RGB")
    filter = Image.Resampling.NEAREST if picture.width <= side else Image.Resampling.LANCZOS
    return picture.resize((side, side), filter)


def _label(name: str) -> str:
    """Return a class name on one line, at most 24 characters; unprintable letters become '?'."""
    composed = unicodedata.normalize("NFC", name)  # macOS writes an umlaut as two characters
    text = "".join(letter if letter.isprintable() else "?" for letter in composed)
    return text if len(text) <= 24 else text[:23] + "…"


def _fonts() -> list[ImageFont.FreeTypeFont]:
    """Return Pillow's font, which is the same on all machines but has little beyond ASCII, then system fonts."""
    own = ImageFont.load_default(_FONT)
    assert isinstance(own, ImageFont.FreeTypeFont), "Pillow's wheels have FreeType"
    fonts = [own]
    for name in _SYSTEM_FONTS:
        with contextlib.suppress(OSError):
            fonts.append(ImageFont.truetype(name, _FONT))
    return fonts


def _drawable(text: str, fonts: Sequence[ImageFont.FreeTypeFont]) -> tuple[str, ImageFont.FreeTypeFont]:
    """Return the text and the font that has most of its letters. Missing letters lose their accent or become '?'."""
    font = min(fonts, key=lambda font: len(_missing(text, font)))
    missing = _missing(text, font)
    bare = {letter: unicodedata.normalize("NFKD", letter)[0] for letter in missing}
    missing_still = _missing("".join(bare.values()), font)
    bare = {letter: "?" if base in missing_still else base for letter, base in bare.items()}
    return "".join(bare.get(letter, letter) for letter in text), font


def _missing(text: str, font: ImageFont.FreeTypeFont) -> set[str]:
    """Return the letters of the text that the font lacks."""
    unknown = _picture(_NO_LETTER, font)
    return {letter for letter in text if _picture(letter, font) == unknown}


def _picture(letter: str, font: ImageFont.FreeTypeFont) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)
