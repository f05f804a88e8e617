"""Small pictures for a page: they are inside the file, so the page loads nothing."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

SIDE = 96  # pixels of a large image's thumbnail
EXACT = 48  # pixels: smaller images are kept as they are
QUALITY = 80


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """The pictures of a report, PNG or JPEG files, in the order of the document.

    Attributes:
        suspects: images whose labels are doubted.
        duplicates: for each pair, the measured image and the one of train.
        corruptions: for each kind one image: undamaged, then from the least severity to the largest.
        maps: for each explained image, the image and its map.
        scenes: for each shown image, the picture with its truth and with the answer.
    """

    suspects: tuple[bytes, ...] = ()
    duplicates: tuple[tuple[bytes, bytes], ...] = ()
    corruptions: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
    maps: tuple[tuple[bytes, bytes], ...] = ()
    scenes: tuple[tuple[bytes, bytes], ...] = ()


def thumbnail(image: NDArray[np.uint8], *, side: int = SIDE) -> bytes:
    """Return the file of an image (R, R, C) with 1 or 3 channels: a PNG, or a JPEG of `side` pixels if it is large."""
    from PIL import Image

    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    file = io.BytesIO()
    if max(picture.size) <= EXACT:
        picture.save(file, "PNG", optimize=True)
    else:
        picture.thumbnail((side, side), Image.Resampling.BOX)
        picture.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def data_url(data: bytes) -> str:
    """Return the URL that contains a PNG or JPEG file."""
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
