"""Real pictures for the gate of a raw file: the originals of a dataset where they still are, else its stored images.

Shapes: H rows, W columns, C channels, uint8.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from resnetctl.data.cards import manifest_names
from resnetctl.data.image_files import listed
from resnetctl.data.images import with_channels
from resnetctl.data.reading.decode import BadImage, Pixels, read_image
from resnetctl.data.splits import ImageSet
from resnetctl.data.store import Store

MAX_BYTES = 1 << 28  # of all pictures together: they are held in memory


def of_folder(folder: Path, channels: int, *, count: int, problems: list[str]) -> list[Pixels]:
    """Return the first pictures (H, W, C) of a folder, at most `count`.

    Args:
        problems: receives a line for each file that cannot be read.
    """
    pictures: list[Pixels] = []
    for item in listed([folder], ignored=Counter()):
        decoded = item.decoded(channels)
        if isinstance(decoded, BadImage):
            problems.append(f"{item.file}: {decoded.message}")
            continue
        pictures.append(decoded)
        if len(pictures) == count or _is_full(pictures):
            break
    return pictures


def of_store(store: Store, images: ImageSet, *, channels: int) -> tuple[list[Pixels], int]:
    """Return pictures (H, W, C) of the set in its order, and how many of them are original files."""
    images.check(images.index)
    stored = images.split if images.split in store.card.splits else "train"
    rows = images.index.tolist()
    names = manifest_names(store.path, stored, rows=rows)
    folder = Path(store.card.source)
    pictures: list[Pixels] = []
    originals = 0
    for row in rows:
        picture = _original(folder / names[row], channels) if row in names and folder.is_dir() else None
        originals += picture is not None
        pictures.append(with_channels(images.images[row], channels) if picture is None else picture)
        if _is_full(pictures):
            break
    return pictures, originals


def _is_full(pictures: list[Pixels]) -> bool:
    return sum(picture.nbytes for picture in pictures) >= MAX_BYTES


def _original(file: Path, channels: int) -> Pixels | None:
    try:
        return read_image(file, channels)
    except BadImage:  # it was moved since
        return None
