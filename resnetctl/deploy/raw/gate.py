"""The gate of a raw file: its pixels must be those of `data.images.prepare`, bit for bit. Imports no torch.

Shapes: H rows, W columns of a picture, S pixels a side, B pictures a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL import __version__ as PILLOW

from resnetctl import rng
from resnetctl.data.images import prepare, prepare_array
from resnetctl.data.reading.decode import Pixels
from resnetctl.deploy.onnx_card import IMAGE, INPUT
from resnetctl.deploy.onnx_session import session
from resnetctl.deploy.parity import BATCHES
from resnetctl.errors import WeightsError
from resnetctl.spec import ImageSpec
from resnetctl.wording import counted

SHOWN = 5  # pictures in an error
LONGEST = 1024  # pixels of a side in a batch: it joins equal parts of several pictures
# Sizes of made-up pictures: rows and columns in multiples of the side that they are resized to.
FACTORS = (
    (0.0, 0.0), (1.0, 1.0), (0.5, 0.5), (2.5, 2.0), (3.3, 1.1),
    (1.1, 3.3), (7.0, 1.5), (1.5, 7.0), (0.3, 4.0), (4.0, 0.3),
)  # fmt: skip
MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def made_up(image: ImageSpec) -> Iterator[Pixels]:
    """Yield 30 pictures of noise (H, W, 1, 3 or 4), the same every time.

    They are small, large, long and a single pixel, so that both orders of the passes occur.
    """
    generator = np.random.Generator(np.random.PCG64(rng.derive(0, "made-up pictures")))
    for channels in MODES:
        for factors in FACTORS:
            height, width = (max(1, round(image.resize * factor)) for factor in factors)
            yield generator.integers(0, 256, (height, width, channels), dtype=np.uint8)


def pixel_problems(alone: bytes, image: ImageSpec, *, pictures: Sequence[Pixels]) -> list[str]:
    """Return a line for each picture whose pixels differ from those of the project; empty when the gate holds.

    Args:
        alone: a model of the file's preprocessing, see `writer.preprocessing_alone`.
        pictures: originals (H, W, 1 or 3); the made-up pictures are added.
    """
    try:
        model = session(alone, "the preprocessing")
    except WeightsError as error:
        return [error.message]
    problems = []
    for picture in (*pictures, *made_up(image)):
        prepared = prepare(as_image(picture), image, max_pixels=picture.size)
        wanted = prepared.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        try:
            (pixels,) = model.run([INPUT], {IMAGE: picture[None]})
        except Exception as error:  # onnxruntime's exceptions share no base
            problems.append(f"{_title(picture)}: {error}")
            continue
        if not np.array_equal(pixels[0], wanted):
            problems.append(f"{_title(picture)}: {_difference(pixels[0], wanted)}")
    rest = len(problems) - SHOWN
    return problems[:SHOWN] + ([f"and {counted(rest, 'image')} more"] if rest > 0 else [])


def as_image(picture: Pixels) -> Image.Image:
    """Return pixels (H, W, 1, 3 or 4) as an image of Pillow."""
    return Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)


def batches(pictures: Sequence[Pixels], image: ImageSpec) -> Iterator[tuple[Pixels, Pixels]]:
    """Yield prepared images (B, S, S, C), and the pictures (B, H, W, C) that they come from, in batches of `BATCHES`.

    A batch has one size, so it holds the common upper left part of its pictures.
    """
    start = 0
    for size in BATCHES:
        chosen = [pictures[number % len(pictures)] for number in range(start, start + size)]
        height, width = (min(LONGEST, *(picture.shape[axis] for picture in chosen)) for axis in (0, 1))
        given = np.stack([picture[:height, :width] for picture in chosen])
        yield np.stack([prepare_array(picture, image) for picture in given]), given
        start += size


def about() -> dict[str, str | int]:
    """Return what the file tells about the gate: the number of made-up images, and the Pillow that it equals."""
    return {"made_up": len(MODES) * len(FACTORS), "pillow": PILLOW}


def _title(picture: Pixels) -> str:
    height, width, channels = picture.shape
    return f"an image of {width}x{height} pixels, {counted(channels, 'channel')}"


def _difference(pixels: NDArray[np.float32], wanted: NDArray[np.float32]) -> str:
    if pixels.shape != wanted.shape:
        return f"its shape is {pixels.shape}, not {wanted.shape}"
    levels = np.abs(pixels - wanted) * 255
    return f"{counted(int((levels > 0).sum()), 'value')} of {levels.size:,} differ, by up to {levels.max():.0f} levels"
