"""Images with structure, and copies of them as they occur in real data."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Images = NDArray[np.uint8]


def shots(count: int, *, seed: int = 0, size: int = 32) -> Images:
    """Return different images (N, S, S, 3) with blobs and edges."""
    draw = np.random.default_rng(seed)
    made = np.empty((count, size, size, 3), np.uint8)
    for place in range(count):
        small = Image.fromarray(draw.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        made[place] = np.asarray(small.resize((size, size), Image.Resampling.BICUBIC))
    return made


def saved_again(images: Images, *, quality: int = 50) -> Images:
    """Return the images after JPEG."""
    again = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        again.append(np.asarray(Image.open(file)))
    return np.stack(again)
