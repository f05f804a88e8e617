"""Images: read files into uint8 arrays and fit them into squares, for the store, evaluation and `predict`.

Shapes: H rows, W columns, C channels (1 or 3 for files), uint8 0..255.
"""

import contextlib
import io
import os
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from resnetctl.errors import DataError
from resnetctl.spec import Fit, ImageSpec, Interpolation
from resnetctl.system.storage import open_regular

Pixels = NDArray[np.uint8]
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF", "PPM")  # no FITS, EPS, PSD: their parsers had security bugs
MAX_PIXELS = 50_000_000
MAX_BYTES = 128 * 2**20  # of one image file
LUMA = (19595, 38470, 7471)  # ITU-R 601-2 weights in 1/65536, the integers of Pillow's convert("L")
_GREY = frozenset({"1", "L", "LA", "La"})
_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
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
        with warnings.catch_warnings():  # its warnings are about problems that are handled or refused here
            warnings.simplefilter("ignore")
            data = file if isinstance(file, bytes) else _contents(file, name)
            return _decoded(data, name)
    except BadImage:
        raise
    except _REFUSALS as error:
        raise BadImage(f"cannot be read as an image: {_reason(error)}", where=name) from error


def to_array(image: Image.Image, channels: int) -> Pixels:
    """Return an image of mode "L" or "RGB" as `(H, W, channels)`. Raises `BadImage` unless channels is 1 or 3."""
    pixels = np.asarray(_with_mode(image, channels))
    return pixels if channels == 3 else pixels[..., None]


def fit(image: Pixels, *, resize: int, fit: Fit = "crop", interpolation: Interpolation = "bilinear") -> Pixels:
    """Return `(H, W, C)` fitted into a square `(resize, resize, C)`. An image of that size is returned unchanged.

    `crop` takes the central square, `pad` adds black borders, `squash` changes the aspect ratio. Shrinking is
    antialiased (Pillow's filters). The store, evaluation and `predict` all use this, so they get the same pixels.
    Training resizes batches with `data.loader.resize`, which documents the small differences.
    """
    height, width, channels = image.shape
    if height == width == resize:
        return image
    if channels == 3:
        return _fitted(Image.fromarray(np.ascontiguousarray(image)), resize, fit, interpolation)
    planes = [Image.fromarray(np.ascontiguousarray(image[..., i])) for i in range(channels)]
    return np.stack([_fitted(plane, resize, fit, interpolation) for plane in planes], axis=-1)


def square(image: Image.Image, channels: int, *, resize: int, fit: Fit = "crop") -> Pixels:
    """Return an image of mode "L" or "RGB" as `(resize, resize, channels)`: `fit(to_array(image))` in one step.

    Raises `BadImage` unless channels is 1 or 3.
    """
    if image.width == image.height == resize:
        return to_array(image, channels)
    return _fitted(_with_mode(image, channels), resize, fit, "bilinear").reshape(resize, resize, channels)


def nearest_places(source: int, side: int) -> list[int]:
    """Return the indices that Pillow picks when it resizes a line of `source` pixels to `side` with "nearest".

    Pillow is asked, because its rounding decides ties.
    """
    line = Image.fromarray(np.arange(source, dtype=np.int32)[None])
    return [int(place) for place in np.asarray(line.resize((side, 1), Image.Resampling.NEAREST))[0]]


def centre_crop(images: Pixels, size: int) -> Pixels:
    """Return the central `(..., size, size, C)` of `(..., R, R, C)`, as a view."""
    top = (images.shape[-3] - size) // 2
    left = (images.shape[-2] - size) // 2
    assert min(top, left) >= 0, "the crop is larger than the image"
    return images[..., top : top + size, left : left + size, :]


def with_channels(images: Pixels, channels: int) -> Pixels:
    """Convert `(..., C)` to `(..., channels)`: grey by repeating, RGB to grey by luma, as Pillow (ITU-R 601).

    Raises `DataError` for other conversions.
    """
    count = images.shape[-1]
    if count == channels:
        return images
    if count == 1:
        return np.repeat(images, channels, axis=-1)
    if (count, channels) == (3, 1):
        luma = images.astype(np.uint32) @ np.array(LUMA, np.uint32)
        return ((luma + 0x8000) >> 16).astype(np.uint8)[..., None]
    raise DataError(f"images with {count} channels cannot be used where {channels} are expected")


def prepare(path: Path, spec: ImageSpec) -> Pixels:
    """Return an image file as model input, `(spec.size, spec.size, spec.channels)` uint8. Raises `BadImage`."""
    return prepare_array(read_image(path, spec.channels), spec)


def prepare_array(image: Pixels, spec: ImageSpec) -> Pixels:
    """Return `(H, W, C)` as `(spec.size, spec.size, spec.channels)`: convert channels, fit, crop the centre."""
    image = with_channels(image, spec.channels)
    fitted = fit(image, resize=spec.resize, fit=spec.fit, interpolation=spec.interpolation)
    return centre_crop(fitted, spec.size)


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
    with _muted_libtiff() if image.format == "TIFF" else contextlib.nullcontext():
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


def _with_mode(image: Image.Image, channels: int) -> Image.Image:
    if channels not in (1, 3):
        raise BadImage(f"image files have 1 or 3 channels, not {channels}")
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _fitted(image: Image.Image, resize: int, fit: Fit, interpolation: Interpolation) -> Pixels:
    """Return an image of mode "L" or "RGB" fitted into a square, `(resize, resize)` or `(resize, resize, 3)`."""
    resample = _FILTERS[interpolation]
    width, height = image.size
    if fit == "squash":
        return np.asarray(image.resize((resize, resize), resample))
    if fit == "crop":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return np.asarray(image.resize((resize, resize), resample, box=(left, top, left + side, top + side)))
    scale = resize / max(width, height)
    small = image.resize((max(1, round(width * scale)), max(1, round(height * scale))), resample)
    canvas = Image.new(image.mode, (resize, resize))
    canvas.paste(small, ((resize - small.width) // 2, (resize - small.height) // 2))
    return np.asarray(canvas)


@contextlib.contextmanager
def _muted_libtiff() -> Iterator[None]:
    """Discard output to file descriptor 2, because libtiff prints warnings there, not to Python's stderr.

    The descriptor belongs to the whole process, so output of other threads to stderr is lost meanwhile too.
    """
    try:
        saved = os.dup(2)
    except OSError:  # the process has no stderr
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _reason(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"it is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file"
    text: Any = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    return str(text) or type(error).__name__
