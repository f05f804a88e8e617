"""A map laid over its picture, as a PNG file."""

import io

import numpy as np
from numpy.typing import NDArray

LEAST = 256  # pixels: smaller pictures are enlarged by a whole factor
LOW, HIGH = np.array([255.0, 190.0, 60.0]), np.array([200.0, 0.0, 40.0])  # from amber to crimson
STRENGTH = 0.65  # of the colour where the map is 1


def overlay(image: NDArray[np.uint8], shares: NDArray[np.float32]) -> bytes:
    """Return the PNG of an image (S, S, C) with a map (S, S) in 0..1 over it, enlarged to at least `LEAST` pixels."""
    from PIL import Image

    factor = max(1, -(-LEAST // len(image)))
    file = io.BytesIO()
    picture = Image.fromarray(laid_over(image, shares))
    picture.resize((len(image) * factor,) * 2, Image.Resampling.NEAREST).save(file, "PNG")
    return file.getvalue()


def laid_over(image: NDArray[np.uint8], shares: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the image (S, S, 3) with a map (S, S) in 0..1 over it: amber is little, crimson is much."""
    grey = image.mean(axis=2, keepdims=True) if image.shape[2] == 3 else image.astype(np.float64)
    dull = np.repeat(grey, 3, axis=2)
    weight = shares[..., None].astype(np.float64)
    colour = LOW + (HIGH - LOW) * weight
    mixed = dull + (colour - dull) * STRENGTH * weight
    result: NDArray[np.uint8] = np.rint(mixed).astype(np.uint8)
    return result
