"""Decode image files to uint8 pixels, whatever their mode, rotation, transparency or depth. Refuse hostile files.

Shapes: H rows, W columns, C channels (1 or 3), uint8 0..255.
"""

import contextlib
import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ExifTags import Base

from resnetctl.data.reading.quiet import quiet_libtiff, quiet_pillow
from resnetctl.errors import DataError
from resnetctl.hints import Setting
from resnetctl.spec import MAX_PIXELS
from resnetctl.system.plain_files import open_regular

Pixels = NDArray[np.uint8]
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF", "PPM", "AVIF")  # no FITS, EPS, PSD: their parsers had bugs
_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
_LOSSLESS = (".png", ".apng", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm")
SUFFIXES = frozenset((*_JPEG, *_LOSSLESS, ".webp", ".avif"))
HEIF_SUFFIXES = frozenset((".heic", ".heif", ".hif"))  # photos of phones; the package pillow-heif reads them
MAX_BYTES = 128 * 2**20  # of one image file
_GREY = frozenset({"1", "L", "LA", "La"})
_ROTATED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
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


def is_image_suffix(suffix: str) -> bool:
    """Return whether files with this suffix, in lower case, are images that can be read here."""
    return suffix in SUFFIXES or (suffix in HEIF_SUFFIXES and has_heif())


@cache
def has_heif() -> bool:
    """Return whether HEIC files can be read: whether the package pillow-heif is installed."""
    return find_spec("pillow_heif") is not None


class BadImage(DataError):
    """An image file that cannot be used. `where` is its path."""


def check_size(count: int, name: str) -> None:
    """Raise `BadImage` for a file of more than `MAX_BYTES` bytes. `name` is its name in the error."""
    if count > MAX_BYTES:
        raise BadImage(f"the file is over {MAX_BYTES // 2**20} MiB", where=name)


def read_image(
    file: BinaryIO | Path | bytes | Image.Image, channels: int, *, name: str | None = None, max_pixels: int = MAX_PIXELS
) -> Pixels:
    """Return one image as `(H, W, channels)` uint8. Raises `BadImage`.

    The image is rotated by its EXIF data, drawn over white where transparent, and cut from 16 to 8 bits. An animation
    gives its first frame. `name` is its name in errors.
    """
    name = name or (str(file) if isinstance(file, Path) else "image")
    return to_array(open_image(file, name, max_pixels=max_pixels)[0], channels)


def open_image(
    file: BinaryIO | Path | bytes | Image.Image, name: str, *, max_pixels: int = MAX_PIXELS
) -> tuple[Image.Image, bool]:
    """Return a decoded image of mode "L" (the file has no colour) or "RGB", and whether the file has more frames.

    Raises `BadImage` if the file cannot be read, has over `max_pixels` pixels, or 32 bits (of unknown value range).
    """
    with _as_bad_image(name):
        image = file if isinstance(file, Image.Image) else _opened(_contents(file, name))
        return _decoded(image, name, max_pixels=max_pixels)


@contextlib.contextmanager
def _as_bad_image(name: str) -> Iterator[None]:
    """Silence Pillow, and turn what it raises for damaged files into `BadImage`."""
    try:
        with quiet_pillow:
            yield
    except BadImage:
        raise
    except _REFUSALS as error:
        raise BadImage(f"cannot be read as an image: {_reason(error)}", where=name) from error


@dataclass(frozen=True, kw_only=True)
class Header:
    """The size (width, height) of an image, upright as `open_image` gives it, and the mode of its file."""

    size: tuple[int, int]
    mode: str


def read_header(data: bytes, name: str, *, max_pixels: int = MAX_PIXELS) -> Header:
    """Return the header of an image. Raises `BadImage`."""
    with _as_bad_image(name):
        image = _opened(data)
        _check_pixels(image, name, max_pixels)
        turned = image.getexif().get(Base.Orientation) in _ROTATED  # reads a PNG to its end
        return Header(size=image.size[::-1] if turned else image.size, mode=image.mode)


def open_plain(data: bytes, name: str, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Return an image in its own mode, palette or levels, as the file has it. Raises `BadImage`."""
    with _as_bad_image(name):
        image = _opened(data)
        _check_pixels(image, name, max_pixels)
        image.load()
        return image


def to_array(image: Image.Image, channels: int) -> Pixels:
    """Return an image of mode "L", "RGB" or "RGBX" as `(H, W, channels)`. Raises `BadImage` for other channels."""
    pixels = packed(with_mode(image, channels))
    return pixels if channels == 3 else pixels[..., None]


def packed(image: Image.Image) -> Pixels:
    """Return an image of mode "L" as `(H, W)`, one of mode "RGB" or "RGBX" as `(H, W, 3)`.

    Pillow leaves out the fourth value of each pixel, because numpy would take ten times as long.
    """
    if image.mode != "RGBX":
        return np.asarray(image)
    return np.frombuffer(image.tobytes("raw", "RGB"), np.uint8).reshape(image.height, image.width, 3)


def _contents(file: BinaryIO | Path | bytes, name: str) -> bytes:
    if isinstance(file, bytes):
        return file
    if isinstance(file, Path):
        with open_regular(file, error=BadImage) as opened:
            return _contents(opened, name)
    data = file.read(MAX_BYTES + 1)
    check_size(len(data), name)
    return data


@cache
def _formats() -> tuple[str, ...]:
    """Return the formats that can be read here, and make Pillow load their plugins, which is faster than all."""
    for name in ("Avif", "Bmp", "Gif", "Jpeg", "Png", "Ppm", "Tiff", "WebP"):
        import_module(f"PIL.{name}ImagePlugin")
    if not has_heif():
        return FORMATS
    import_module("pillow_heif").register_heif_opener()
    return (*FORMATS, "HEIF")


def _opened(data: bytes) -> Image.Image:
    """Return the image with its header read, as `Image.open` does.

    `Image.open` also has a limit of pixels. It is a variable of the whole process, and only `max_pixels` is to count.
    """
    for name in _formats():
        factory, accept = Image.OPEN[name]
        accepted = accept is None or accept(data[:16])
        if accepted and not isinstance(accepted, str):  # a text says why this Pillow cannot read the format
            with contextlib.suppress(SyntaxError, IndexError, TypeError, struct.error):  # as `Image.open` does
                return factory(io.BytesIO(data), "")
    if not data:
        raise ValueError("the file is empty")
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"hevc"):
        raise ValueError("HEIC files need the package pillow-heif")
    raise UnidentifiedImageError


def _decoded(image: Image.Image, name: str, *, max_pixels: int) -> tuple[Image.Image, bool]:
    _check_pixels(image, name, max_pixels)
    if image.mode == "F" or (image.mode == "I" and image.format != "PPM"):
        raise BadImage("32-bit image: its value range is unknown, convert it to 8 or 16 bits", where=name)
    has_frames = image.format in ("GIF", "WEBP", "PNG", "TIFF", "AVIF")
    animated = has_frames and bool(getattr(image, "is_animated", False))
    with quiet_libtiff if image.format == "TIFF" else contextlib.nullcontext():
        image.load()
    return _flat(_upright(image)), animated


def _check_pixels(image: Image.Image, name: str, max_pixels: int) -> None:
    pixels = image.width * image.height
    if pixels > max_pixels:
        raise BadImage(
            f"{image.width}x{image.height} pixels are over the limit of {max_pixels:,}",
            where=name,
            hint=Setting("max_pixels", pixels),
        )
    if pixels < 1:
        raise BadImage("the image has no pixels", where=name)


def _upright(image: Image.Image) -> Image.Image:
    if image.format == "JPEG" and not image.info.keys() & {"exif", "xmp"}:
        return image  # the common case: no copy needed
    turned = ImageOps.exif_transpose(image)
    return image if turned is None else turned


def _flat(image: Image.Image) -> Image.Image:
    """Return the image in mode "L" or "RGB": 16 bits are cut to 8, transparency is drawn over white."""
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):  # a PGM of 16 bits has the mode of 32, scaled to 0..65535
        levels = np.asarray(image)
        cut = (levels >> 8).astype(np.uint8)
        cut[levels == image.info.get("transparency", -1)] = 255
        return Image.fromarray(cut)
    final = "L" if image.mode in _GREY else "RGB"
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert(final)


def with_mode(image: Image.Image, channels: int) -> Image.Image:
    """Return the image in mode "L" for 1 channel, "RGB" or "RGBX" for 3. Raises `BadImage` for other counts.

    In mode "RGBX" the fourth value of each pixel means nothing.
    """
    if channels not in (1, 3):
        raise BadImage(f"image files have 1 or 3 channels, not {channels}")
    if image.mode == "RGBX":
        return image if channels == 3 else image.convert("RGB").convert("L")
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _reason(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"it is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file"
    text: Any = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    return str(text) or type(error).__name__
