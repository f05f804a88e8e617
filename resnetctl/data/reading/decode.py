"""Decode image files to uint8 pixels, whatever their mode, rotation, transparency or depth. Refuse hostile files.

Shapes: H rows, W columns, C channels (1 or 3), uint8 0..255.
"""

import contextlib
import io
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from resnetctl.data.reading.quiet import quiet_libtiff, quiet_pillow
from resnetctl.errors import DataError
from resnetctl.system.storage import open_regular

Pixels = NDArray[np.uint8]
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF", "PPM")  # no FITS, EPS, PSD: their parsers had security bugs
MAX_PIXELS = 50_000_000
MAX_BYTES = 128 * 2**20  # of one image file
_GREY = frozenset({"1", "L", "LA", "La"})
_REFUSALS = (  # the errors that Pillow raises for damaged files; OSError covers UnidentifiedImageError
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    struct.error,
    MemoryError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    RuntimeError,
    AttributeError,
    ZeroDivisionError,
    Image.DecompressionBombError,
)


class BadImage(DataError):
    """An image file that cannot be used. `where` is its path."""


def check_size(count: int, name: str) -> None:
    """Raise `BadImage` for a file of more than `MAX_BYTES` bytes. `name` is its name in the error."""
    if count > MAX_BYTES:
        raise BadImage(f"the file is over {MAX_BYTES // 2**20} MiB", where=name)


def read_image(file: BinaryIO | Path | bytes, channels: int, *, name: str | None = None) -> Pixels:
    """Return one image as `(H, W, channels)` uint8. Raises `BadImage`.

    The image is rotated by its EXIF data, drawn over white where transparent, and cut from 16 to 8 bits. An animation
    gives its first frame. `name` is its name in errors.
    """
    name = name or (str(file) if isinstance(file, Path) else "image")
    return to_array(open_image(file, name)[0], channels)


def open_image(file: BinaryIO | Path | bytes, name: str) -> tuple[Image.Image, bool]:
    """Return a decoded image of mode "L" (the file has no colour) or "RGB", and whether the file has more frames.

    Raises `BadImage` if the file cannot be read, has over 50 million pixels, or 32 bits (of unknown value range).
    """
    try:
        with quiet_pillow:
            data = file if isinstance(file, bytes) else _contents(file, name)
            return _decoded(data, name)
    except BadImage:
        raise
    except _REFUSALS as error:
        raise BadImage(f"cannot be read as an image: {_reason(error)}", where=name) from error


def to_array(image: Image.Image, channels: int) -> Pixels:
    """Return an image of mode "L" or "RGB" as `(H, W, channels)`. Raises `BadImage` unless channels is 1 or 3."""
    pixels = np.asarray(with_mode(image, channels))
    return pixels if channels == 3 else pixels[..., None]


def _contents(file: BinaryIO | Path, name: str) -> bytes:
    if isinstance(file, Path):
        with open_regular(file, error=BadImage) as opened:
            return _contents(opened, name)
    data = file.read(MAX_BYTES + 1)
    check_size(len(data), name)
    return data


def _decoded(data: bytes, name: str) -> tuple[Image.Image, bool]:
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    if image.width * image.height > MAX_PIXELS or min(image.size) < 1:
        raise BadImage(f"{image.width}x{image.height} pixels are over the limit of {MAX_PIXELS:,}", where=name)
    if image.mode in ("I", "F"):
        raise BadImage("32-bit image: its value range is unknown, convert it to 8 or 16 bits", where=name)
    animated = image.format in ("GIF", "WEBP", "PNG", "TIFF") and bool(getattr(image, "is_animated", False))
    with quiet_libtiff if image.format == "TIFF" else contextlib.nullcontext():
        image.load()
    return _flat(_upright(image)), animated


def _upright(image: Image.Image) -> Image.Image:
    if image.format == "JPEG" and not image.info.keys() & {"exif", "xmp"}:
        return image  # the common case: no copy needed
    turned = ImageOps.exif_transpose(image)
    return image if turned is None else turned


def _flat(image: Image.Image) -> Image.Image:
    """Return the image in mode "L" or "RGB": 16 bits are cut to 8, transparency is drawn over white."""
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    final = "L" if image.mode in _GREY else "RGB"
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert(final)


def with_mode(image: Image.Image, channels: int) -> Image.Image:
    """Return the image in mode "L" for 1 channel or "RGB" for 3. Raises `BadImage` for other counts."""
    if channels not in (1, 3):
        raise BadImage(f"image files have 1 or 3 channels, not {channels}")
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _reason(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"it is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file"
    text: Any = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    return str(text) or type(error).__name__
