"""Where a picture lies in its square: boxes and masks go the same way as `data.images.fit` moves the pixels, and back.

Shapes: M boxes x1 y1 x2 y2; H rows, W columns.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnetctl.spec import IGNORE, Fit

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Placement:
    """The place of a picture of `width` x `height` pixels in a square of `side` pixels.

    A point moves to `x * across + left`, `y * down + top`.
    """

    width: int
    height: int
    side: int
    across: float
    down: float
    left: float
    top: float

    def inside(self, boxes: Floats) -> Floats:
        """Return boxes of the picture in pixels of the square, clipped at its borders."""
        return self._clipped(boxes * self._factors + self._shift, self.side, self.side)

    def back(self, boxes: Floats) -> Floats:
        """Return boxes of the square in pixels of the picture, clipped at its borders."""
        return self._clipped((boxes - self._shift) / self._factors, self.width, self.height)

    def visible(self) -> tuple[int, int, int, int]:
        """Return the part of the square that shows the picture: x1 y1 x2 y2, whole pixels."""
        corners = np.array([[0, 0, self.width, self.height]], np.float32)
        x1, y1, x2, y2 = np.rint(self.inside(corners)[0]).astype(int).tolist()
        return x1, y1, x2, y2

    @property
    def _factors(self) -> Floats:
        return np.array([self.across, self.down] * 2, np.float32)

    @property
    def _shift(self) -> Floats:
        return np.array([self.left, self.top] * 2, np.float32)

    def _clipped(self, boxes: Any, width: float, height: float) -> Floats:
        clipped: Floats = boxes.clip(0, np.array([width, height] * 2, np.float32)).astype(np.float32)
        return clipped


def placement(width: int, height: int, *, side: int, fit: Fit) -> Placement:
    """Return where `data.images.fit` puts a picture of `width` x `height` pixels in a square of `side` pixels."""
    if fit == "squash":
        across, down, left, top = side / width, side / height, 0.0, 0.0
    elif fit == "crop":
        across = down = side / min(width, height)
        left, top = (side - width * across) / 2, (side - height * down) / 2
    else:
        scale = side / max(width, height)
        wide, tall = max(1, round(width * scale)), max(1, round(height * scale))
        across, down, left, top = wide / width, tall / height, float((side - wide) // 2), float((side - tall) // 2)
    return Placement(width=width, height=height, side=side, across=across, down=down, left=left, top=top)


def fit_mask(mask: NDArray[np.uint8], *, side: int, fit: Fit) -> NDArray[np.uint8]:
    """Return a mask `(H, W)` in a square `(side, side)`, by the nearest pixel; what is padded is `IGNORE`."""
    height, width = mask.shape
    if height == width == side:
        return mask
    place = placement(width, height, side=side, fit=fit)
    picture, nearest = Image.fromarray(np.ascontiguousarray(mask)), Image.Resampling.NEAREST
    if fit == "crop":
        cut = min(width, height)
        left, top = (width - cut) / 2, (height - cut) / 2
        return np.asarray(picture.resize((side, side), nearest, box=(left, top, left + cut, top + cut)))
    x1, y1, x2, y2 = place.visible()
    square = np.full((side, side), IGNORE, np.uint8)
    square[y1:y2, x1:x2] = np.asarray(picture.resize((x2 - x1, y2 - y1), nearest))
    return square


def mask_back(mask: NDArray[Any], place: Placement) -> NDArray[np.uint8]:
    """Return a map of classes `(side, side)` in the size of the picture; 0 where a crop shows nothing of it."""
    x1, y1, x2, y2 = place.visible()
    picture = Image.fromarray(np.ascontiguousarray(mask[y1:y2, x1:x2].astype(np.uint8)))
    # the part of the picture that the square shows; all of it, unless `fit` crops
    shown = place.back(np.array([[x1, y1, x2, y2]], np.float32))[0]
    a, b, c, d = np.floor(shown + 0.5).astype(int).tolist()  # halves go one way: the part keeps its sides
    whole = np.zeros((place.height, place.width), np.uint8)
    whole[b:d, a:c] = np.asarray(picture.resize((c - a, d - b), Image.Resampling.NEAREST))
    return whole
