"""Decode plain JPEG files with the package simplejpeg, if it is installed and proves to give Pillow's pixels.

Pillow decodes what the raw form has. simplejpeg runs the same algorithms of libjpeg-turbo and spends less time around
them. Before it is used, it must decode small pictures of each kind that it will get to Pillow's pixels, bit for bit.
Pillow decodes everything else: other formats, CMYK, files with EXIF data.
"""

import contextlib
import io
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
from PIL import Image

from resnetctl.data.images import square
from resnetctl.data.reading.decode import BadImage, Pixels, read_image
from resnetctl.data.reading.parallel import Square, decode

Decoder = Callable[[bytes, Pixels], object]  # decodes a plain JPEG file into an array `(H, W, 1 or 3)`
_START, _SCAN = b"\xff\xd8", 0xDA
_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive
_HARMLESS = (0xC4, 0xDB, 0xDD, 0xE0, 0xFE)  # tables, restart interval, JFIF, comment
_PROFILE = 0xE2, b"ICC_PROFILE"  # of colours, which is ignored here and in Pillow's decoder


def decode_into(image: Pixels, data: bytes, *, into: Square, decoder: Decoder | None) -> BadImage | None:
    """Write the pixels of a file into `image`: those of `data.reading.parallel.decode`. Return the error, if any.

    Args:
        decoder: decodes plain JPEG files; None: Pillow decodes all.
    """
    shape = None if decoder is None else plain_shape(data)
    if decoder is not None and shape is not None:
        with contextlib.suppress(ValueError):  # simplejpeg refuses what libjpeg warns about: let Pillow judge
            pixels = image if shape == image.shape else np.empty(shape, np.uint8)
            decoder(data, pixels)
            if pixels is not image:
                picture = Image.fromarray(pixels if shape[2] == 3 else pixels[..., 0])
                image[...] = square(
                    picture, into.channels, resize=into.resize, fit=into.fit, interpolation=into.interpolation
                )
            return None
    outcome = decode(data, "image", into=into)
    if isinstance(outcome, BadImage):
        return outcome
    image[...] = outcome.pixels
    return None


def plain_shape(data: bytes) -> tuple[int, int, int] | None:
    """Return the shape `(H, W, 1 or 3)` of a JPEG of 8 bits, grey or YCbCr; None for any other file.

    A file with a segment that could change its pixels, such as EXIF data, is not plain.
    """
    shape, place = None, len(_START)
    while data.startswith(_START) and place + 20 < len(data) and data[place] == 0xFF:
        marker, segment = data[place + 1], place + 4
        if marker == _SCAN:
            return shape
        if marker in _FRAMES:
            height, width = (int.from_bytes(data[segment + at : segment + at + 2]) for at in (1, 3))
            components = data[segment + 5]
            is_ycc = components == 3 and data[segment + 6 : segment + 15 : 3] == b"\1\2\3"
            if data[segment] != 8 or not (components == 1 or is_ycc) or height * width == 0:
                return None
            shape = height, width, components
        elif marker not in _HARMLESS and (marker, data[segment : segment + 11]) != _PROFILE:
            return None
        place += 2 + int.from_bytes(data[place + 2 : segment])
    return None


@cache
def exact_decoder() -> Decoder | None:
    """Return the decoder of simplejpeg; None if it is not installed, or does not give Pillow's pixels."""
    try:
        import simplejpeg
    except ImportError:
        return None

    def decoder(data: bytes, pixels: Pixels) -> object:
        colours = "RGB" if pixels.shape[2] == 3 else "GRAY"
        return simplejpeg.decode_jpeg(data, colours, fastdct=False, fastupsample=False, buffer=pixels)

    return decoder if is_exact(decoder) else None


def is_exact(decoder: Decoder) -> bool:
    """Return whether a decoder gives Pillow's pixels for small pictures of every plain kind."""
    for data in _plain_pictures():
        shape = plain_shape(data)
        assert shape is not None, "Pillow writes plain files"
        pixels = np.empty(shape, np.uint8)
        try:
            decoder(data, pixels)
        except ValueError:
            return False
        if not np.array_equal(pixels, read_image(data, shape[2])):
            return False
    return True


def _plain_pictures() -> Iterator[bytes]:
    """Yield noisy JPEG files, grey and in colour, of every subsampling, baseline and progressive, with odd sides."""
    noise = np.random.default_rng(0).integers(0, 256, (35, 45, 3), dtype=np.uint8)
    for mode, subsampling in (("L", -1), ("RGB", 0), ("RGB", 1), ("RGB", 2)):
        for quality in (40, 95):
            for progressive in (False, True):
                file = io.BytesIO()
                picture = Image.fromarray(noise).convert(mode)
                picture.save(file, "JPEG", quality=quality, subsampling=subsampling, progressive=progressive)
                yield file.getvalue()
