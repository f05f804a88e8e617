"""Decode plain JPEG files with the package simplejpeg, if it is installed and proves to give Pillow's pixels.

simplejpeg runs the same algorithms of libjpeg-turbo and spends less time around them. Before it is used, it must decode
small pictures of each kind that it will get to Pillow's pixels, bit for bit. Pillow decodes everything else: other
formats, CMYK, files that are rotated by their EXIF data.
"""

import contextlib
import io
from collections.abc import Callable, Iterator
from functools import cache
from math import prod

import numpy as np
from PIL import ExifTags, Image

from resnetctl.data.reading.decode import Pixels, read_image
from resnetctl.data.reading.quiet import quiet_pillow

Decoder = Callable[[bytes, Pixels], object]  # decodes a plain JPEG file into an array `(H, W, C)`, as `_COLOURS` says
_COLOURS = {1: "GRAY", 3: "RGB", 4: "RGBX"}  # 4: the fourth value of a pixel means nothing; Pillow keeps colours so
_START, _SCAN, _APP1 = b"\xff\xd8", 0xDA, 0xE1
_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive
_TABLES = (0xC4, 0xDB)
_HARMLESS = (0xDD, 0xE0, 0xED, 0xFE)  # restart interval, JFIF, Photoshop's notes, comment
_PROFILE = 0xE2, b"ICC_PROFILE"  # of colours, which is ignored here and in Pillow's decoder
_EXIF = b"Exif\0\0"
_LEAST = {0xE0: 7, 0xE2: 14}  # bytes of JFIF data and of a colour profile; Pillow refuses shorter ones
_ALIGNED = 32  # bytes of an AVX2 register


def plain_shape(data: bytes) -> tuple[int, int, int] | None:
    """Return the shape `(H, W, 1 or 3)` of a JPEG of 8 bits, grey or YCbCr; None for any other file.

    A file with a segment that could change its pixels, such as EXIF data with a rotation, is not plain.
    """
    shape, place, has_exif = None, len(_START), False
    last = len(data) - 20 if data.startswith(_START) else 0
    while place < last and data[place] == 0xFF:
        marker, segment = data[place + 1], place + 4
        end = place + 2 + (data[place + 2] << 8 | data[place + 3])
        if marker == _SCAN:
            return shape
        if marker in _FRAMES:
            height, width = (data[segment + at] << 8 | data[segment + at + 1] for at in (1, 3))
            components = data[segment + 5]
            is_ycc = components == 3 and data[segment + 6 : segment + 15 : 3] == b"\1\2\3"
            if data[segment] != 8 or not (components == 1 or is_ycc) or height * width == 0:
                return None
            shape = height, width, components
        elif marker in _TABLES:  # most segments; this runs for every image of a batch
            pass
        elif not _is_harmless(marker, data[segment:end]) or (has_exif and marker == _APP1):
            return None  # Pillow joins the EXIF data of several segments
        has_exif = has_exif or marker == _APP1
        place = end
    return None


def _is_harmless(marker: int, content: bytes) -> bool:
    """Return whether a segment of a JPEG file leaves its pixels as they are."""
    if len(content) < _LEAST.get(marker, 0):
        return False
    if marker == _APP1 and content.startswith(_EXIF):
        exif = Image.Exif()
        try:
            with quiet_pillow:
                exif.load(content)
            return bool(exif.get(ExifTags.Base.Orientation, 1) == 1)
        except Exception:  # hostile data raise errors of many kinds: Pillow judges such a file as a whole
            return False
    return marker in _HARMLESS or (marker, content[: len(_PROFILE[1])]) == _PROFILE


def plain_image(data: bytes, *, decoder: Decoder, max_pixels: int) -> Image.Image | None:
    """Return the image of a plain JPEG file, of mode "L" or "RGBX". Pillow reads its pixels where they were decoded.

    None for any other file, for one with over `max_pixels` pixels, and for one that the decoder refuses: Pillow judges.
    """
    shape = plain_shape(data)
    if shape is None or shape[0] * shape[1] > max_pixels:
        return None
    height, width, components = shape
    mode, count = ("L", 1) if components == 1 else ("RGBX", 4)
    with contextlib.suppress(ValueError, RuntimeError, MemoryError):  # simplejpeg refuses what libjpeg warns about
        pixels = space_for((height, width, count))
        decoder(data, pixels)
        return Image.frombuffer(mode, (width, height), pixels, "raw", mode, 0, 1)  # no copy
    return None


def space_for(shape: tuple[int, ...]) -> Pixels:
    """Return an uninitialised uint8 array that libjpeg-turbo fills fast: its address is no multiple of 32.

    On x86, libjpeg-turbo writes rows at a multiple of 32 past the caches. That took 4 to 30 % longer to decode, and the
    next reader fetches the pixels from memory.
    """
    size = prod(shape)
    memory = np.empty(size + _ALIGNED, np.uint8)
    start = (_ALIGNED // 2 - memory.ctypes.data) % _ALIGNED
    return memory[start : start + size].reshape(shape)


@cache
def exact_decoder() -> Decoder | None:
    """Return the decoder of simplejpeg; None if it is not installed, or does not give Pillow's pixels."""
    try:
        import simplejpeg
    except ImportError:
        return None

    def decoder(data: bytes, pixels: Pixels) -> object:
        colours = _COLOURS[pixels.shape[2]]
        return simplejpeg.decode_jpeg(data, colours, fastdct=False, fastupsample=False, buffer=pixels)

    return decoder if is_exact(decoder) else None


def is_exact(decoder: Decoder) -> bool:
    """Return whether a decoder gives Pillow's pixels for small pictures of every plain kind."""
    for data in _plain_pictures():
        shape = plain_shape(data)
        assert shape is not None, "Pillow writes plain files"
        wanted = read_image(data, shape[2])
        for count in (1,) if shape[2] == 1 else (3, 4):
            pixels = np.empty((*shape[:2], count), np.uint8)
            try:
                decoder(data, pixels)
            except ValueError:
                return False
            if not np.array_equal(pixels[..., :3], wanted):
                return False
    return True


def _plain_pictures() -> Iterator[bytes]:
    """Yield noisy JPEG files, grey and in colour, of all that Pillow writes: every subsampling, progressive or not."""
    noise = np.random.default_rng(0).integers(0, 256, (35, 45, 3), dtype=np.uint8)
    for mode, subsampling in (("L", -1), ("RGB", 0), ("RGB", 1), ("RGB", 2)):
        for quality in (40, 95):
            for progressive in (False, True):
                file = io.BytesIO()
                picture = Image.fromarray(noise).convert(mode)
                picture.save(file, "JPEG", quality=quality, subsampling=subsampling, progressive=progressive)
                yield file.getvalue()
