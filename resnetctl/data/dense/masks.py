"""Read folders of images and masks: `images/x.jpg` with `masks/x.png`, below folders of splits or above them.

A mask file has the class of each pixel as its level, or as its palette index; `classes.txt` names the classes, one a
line. A line may end with the level, or with the colour `R G B`, that stands for the class. Levels of a class called
"void" or "ignore", and 255, are not known.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetctl.data.dense.files import Files, stem_of, suffix_of
from resnetctl.data.dense.finder import split_of
from resnetctl.data.dense.scenes import VOID, Annotated, Palette, Scene
from resnetctl.data.reading.decode import BadImage, open_plain
from resnetctl.spec import IGNORE, MAX_PIXELS
from resnetctl.wording import counted

IMAGES = ("images", "image", "imgs", "img", "jpegimages")
MASKS = ("masks", "mask", "labels", "annotations", "segmentationclass", "groundtruth", "gt")
ENDS = ("", "_mask", "_L", "_label", "_gt")  # of a mask's stem, behind that of its image
NAMES = ("classes.txt", "labels.txt", "class_names.txt")
LOSSLESS = (".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm")
_LINE = re.compile(r"(?P<name>.*?)(?:[\s,;]+(?P<values>\d+(?:[\s,;]+\d+[\s,;]+\d+)?))?\s*")
HINT = (
    "A file classes.txt beside the folders maps levels (lines `background 0` and `cell 255`) or colours "
    "(`background 0 0 0` and `cell 255 255 255`) to classes"
)
TWO_LEVELS = f"255 means 'not known'. {HINT}"
MOST_CLASSES = IGNORE  # levels 0 to 254 of the stored masks
SHOWN = 5  # levels or colours in an error
LONGEST = 200  # characters of a line of `classes.txt`
MOST_UNKNOWN = 0.25  # share of a mask of class 0 that may be 255; a mask with more looks like one of 0 and 255


def pairs(files: Files) -> dict[str, str]:
    """Return image to mask, by name; an image without a mask has "". Empty if no folder of masks lies beside images."""
    masks = {}
    for name in files.below("", *LOSSLESS, ".jpg", ".jpeg"):
        key = _key(name, MASKS)
        if key is not None:
            masks[key] = name
    images = {name: key for name in files.below("") if (key := _key(name, IMAGES)) is not None}
    found = {name: next((masks[key + end] for end in ENDS if key + end in masks), "") for name, key in images.items()}
    return found if any(found.values()) else {}


def _key(name: str, folders: tuple[str, ...]) -> str | None:
    """Return the name without the folder that is in `folders`, and without suffix; None if it is in none."""
    parts = name.split("/")
    for place, part in enumerate(parts[:-1]):
        if part.lower() in folders:
            return "/".join([*parts[:place], *parts[place + 1 : -1], stem_of(name)])
    return None


def read_masks(files: Files, found: dict[str, str]) -> Annotated:
    """Return the pictures with masks."""
    problems = [f"{image}: its mask is missing" for image, mask in found.items() if not mask]
    used = set(found.values())
    masks = [name for name in files.below("", *LOSSLESS) if _key(name, MASKS) is not None]
    problems += [f"{name}: its image is missing" for name in masks if name not in used]
    classes, palette = _classes(files, problems)
    if not classes:
        classes = _counted_classes(files, [mask for mask in found.values() if mask])
    if len(classes) > MOST_CLASSES:
        problems.append(f"masks have at most {MOST_CLASSES} classes, and these have {len(classes):,}. {HINT}")
    return Annotated(
        path=files.path,
        format="masks",
        truth="masks",
        classes=classes,
        scenes=tuple(
            Scene(name=image, split=split_of(image), where=mask, mask=mask) for image, mask in found.items() if mask
        ),
        problems=tuple(problems),
        listing=files.listing([*filter(None, found.values())]),
        palette=palette,
    )


def _classes(files: Files, problems: list[str]) -> tuple[tuple[str, ...], Palette]:
    """Return the classes of `classes.txt`, and what its levels and colours mean; nothing without such a file."""
    lists = [name for name in files.below("", ".txt") if name.rpartition("/")[2].lower() in NAMES]
    if not lists:
        return (), Palette()
    lines = [line.strip() for line in files.text(lists[0]).splitlines() if line.strip()]
    if any(len(line) > LONGEST for line in lines):
        problems.append(f"{lists[0]}: a line has more than {LONGEST} characters")
        return (), Palette()
    rows = [match.groupdict() for line in lines if (match := _LINE.fullmatch(line))]
    if len({row["values"] is None for row in rows}) > 1:
        problems.append(f"{lists[0]}: some lines have a level or a colour, and some have none")
        return (), Palette()
    names = [row["name"].strip() for row in rows if row["name"].lower().strip() not in VOID]
    if len(set(names)) < len(names):
        problems.append(f"{lists[0]}: a class occurs twice")
    values: dict[Any, int] = {}
    for place, row in enumerate(rows):
        numbers = tuple(map(int, re.findall(r"\d+", row["values"]))) if row["values"] else (place,)
        is_void = row["name"].lower().strip() in VOID
        values[numbers if len(numbers) == 3 else numbers[0]] = IGNORE if is_void else names.index(row["name"].strip())
    is_plain = all(values.get(place) == place for place in range(len(rows)))
    return tuple(dict.fromkeys(names)), Palette() if is_plain else Palette(values=values)


def _counted_classes(files: Files, masks: list[str]) -> tuple[str, ...]:
    """Return `class 0` to the largest level of all masks that can be read."""
    largest = 0
    for name in masks:
        try:
            levels = levels_of(files.read(name), name)
        except BadImage:
            continue
        if levels.ndim == 2:
            known = levels[levels != IGNORE]
            largest = max(largest, int(known.max(initial=0)))
    return tuple(f"class {number}" for number in range(largest + 1))


def levels_of(data: bytes, name: str, *, max_pixels: int = MAX_PIXELS) -> NDArray[Any]:
    """Return the levels or palette indices `(H, W)` of a mask, or its colours `(H, W, 3)`. Raises `BadImage`."""
    image = open_plain(data, name, max_pixels=max_pixels)
    if image.format == "JPEG" or suffix_of(name) in (".jpg", ".jpeg"):
        raise BadImage("a mask cannot be a JPEG file, which changes levels: store it as PNG", where=name)
    if image.mode in ("L", "P", "1") or image.mode.startswith("I"):
        return np.asarray(image).astype(np.int64)
    return np.asarray(image.convert("RGB"))


@dataclass(frozen=True, kw_only=True)
class MaskReader:
    """Turns mask files into classes."""

    classes: tuple[str, ...]
    palette: Palette

    def read(self, data: bytes, name: str, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
        """Return the class of each pixel, `(H, W)` uint8. Raises `BadImage` that says what is wrong with the mask."""
        return self.classes_of(levels_of(data, name, max_pixels=max_pixels), name)

    def classes_of(self, levels: NDArray[Any], name: str) -> NDArray[np.uint8]:
        """Return the class of each pixel of what `levels_of` gives. Raises as `read`."""
        values = self.palette.values
        if levels.ndim == 3:
            return self._of_colours(levels, name)
        table = {level: number for level, number in values.items() if isinstance(level, int)}
        present, counts = np.unique(levels, return_counts=True)
        if present.tolist() == [0, IGNORE] and IGNORE not in table and counts[1] > MOST_UNKNOWN * levels.size:
            raise BadImage(f"it has the levels 0 and 255 only, and {TWO_LEVELS}", where=name)
        if table:
            return self._mapped(levels, {IGNORE: IGNORE, **table}, name)
        unknown = ((present < 0) | (present >= len(self.classes))) & (present != IGNORE)
        self._require_known(present[unknown].tolist(), int(counts[unknown].sum()), name)
        return levels.astype(np.uint8)

    def _of_colours(self, colours: NDArray[Any], name: str) -> NDArray[np.uint8]:
        table = {colour: number for colour, number in self.palette.values.items() if isinstance(colour, tuple)}
        if not table:
            raise BadImage(f"it is a colour image, not one of classes. {HINT}", where=name)
        packed = colours.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
        known = {(red << 16) + (green << 8) + blue: number for (red, green, blue), number in table.items()}
        return self._mapped(packed, known, name, is_colour=True)

    def _mapped(
        self, levels: NDArray[Any], table: dict[int, int], name: str, *, is_colour: bool = False
    ) -> NDArray[np.uint8]:
        present, places, counts = np.unique(levels, return_inverse=True, return_counts=True)
        is_unknown = np.array([value not in table for value in present.tolist()])
        if is_unknown.any():
            unknown, pixels = present[is_unknown].tolist(), int(counts[is_unknown].sum())
            what = "colour" if is_colour else "level"
            shown = _listed([_rgb(value) if is_colour else str(value) for value in unknown])
            raise BadImage(
                f"{_with_values(pixels, what, len(unknown))} {shown}, and no line of classes.txt does", where=name
            )
        classes = np.array([table[value] for value in present.tolist()], np.uint8)
        return classes[places].reshape(levels.shape)

    def _require_known(self, unknown: list[int], pixels: int, name: str) -> None:
        if unknown:
            raise BadImage(
                f"{_with_values(pixels, 'level', len(unknown))} {_listed(list(map(str, unknown)))}, "
                f"and {_known(len(self.classes))}",
                where=name,
            )


def _with_values(pixels: int, what: str, count: int) -> str:
    """Return `1 pixel has the level`, `12 pixels have the levels`."""
    return f"{counted(pixels, 'pixel')} {'has' if pixels == 1 else 'have'} the {what}{'s' if count > 1 else ''}"


def _listed(values: list[str]) -> str:
    return ", ".join(values[:SHOWN]) + (", ..." if len(values) > SHOWN else "")


def _known(classes: int) -> str:
    return f"the levels of the {classes} classes are 0 to {classes - 1}" if classes > 1 else "the one class has level 0"


def _rgb(packed: int) -> str:
    """Return a colour as a line of `classes.txt` has it."""
    return f"{packed >> 16} {packed >> 8 & 255} {packed & 255}"
