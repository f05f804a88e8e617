"""Choose the form of a new dataset: `raw` (pixels) or `jpeg` (the files as they came)."""

from pathlib import Path
from typing import Literal, NamedTuple

from resnetctl.spec import ImageSpec, Storage
from resnetctl.system import storage

SHARE = 0.5  # of the free disk that pixels may take


class Choice(NamedTuple):
    """A form, and notes for the user about it."""

    storage: Storage
    notes: tuple[str, ...] = ()


def choose_form(asked: Storage | Literal["auto"], data_dir: Path, *, count: int, image: ImageSpec, size: int) -> Choice:
    """Return the form that was asked for; for "auto" raw, unless its pixels need over half of the free disk.

    Files that need more than their pixels are never chosen, because that would only be slower.

    Args:
        count: the number of images.
        image: their stored shape.
        size: the bytes of all files.
    """
    if asked != "auto":
        return Choice(asked)
    pixels = count * image.resize**2 * image.channels
    if pixels <= SHARE * storage.free_space(data_dir) or size >= pixels:
        return Choice("raw")
    return Choice(
        "jpeg", (f"stored as the original files: pixels would need {pixels / 1e9:,.1f} GB, over half of the free disk",)
    )
