"""Draw boxes and masks on pictures: for contact sheets and for `predict`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from resnetctl.spec import IGNORE

# Colours that stay apart for colour-blind people (Okabe and Ito 2008), repeated for more classes.
COLOURS = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
)  # fmt: skip
SHARE = 0.55  # of the colour of a class in a pixel of its mask
FONT = 12  # pixels


def colour(label: int) -> tuple[int, int, int]:
    """Return the colour of a class."""
    return COLOURS[label % len(COLOURS)]


def draw_boxes(
    picture: Image.Image, boxes: NDArray[Any], *, labels: NDArray[Any], texts: Sequence[str] = ()
) -> Image.Image:
    """Return a copy of the picture with boxes `(M, 4)` in its pixels, in the colours of their classes, with texts."""
    drawn = picture.convert("RGB")
    pen, font = ImageDraw.Draw(drawn), ImageFont.load_default(FONT)
    width = max(1, round(max(drawn.size) / 250))
    for place, (corners, label) in enumerate(zip(boxes.tolist(), labels.tolist(), strict=True)):
        x1, y1, x2, y2 = corners
        pen.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=colour(label), width=width)
        if texts:
            spot = (x1 + width, max(0.0, y1 - FONT - 2))
            pen.rectangle(pen.textbbox(spot, texts[place], font=font), fill=(255, 255, 255))
            pen.text(spot, texts[place], fill=(20, 20, 20), font=font)
    return drawn


def draw_mask(picture: Image.Image, mask: NDArray[np.uint8]) -> Image.Image:
    """Return a copy of the picture with a mask `(H, W)` of its size laid over it; unknown pixels stay as they are."""
    pixels = np.asarray(picture.convert("RGB")).astype(np.float32)
    table = np.array([colour(label) for label in range(256)], np.float32)
    mixed = (1 - SHARE) * pixels + SHARE * table[mask]
    known = (mask != IGNORE)[..., None]
    return Image.fromarray(np.where(known, mixed, pixels).round().astype(np.uint8))
