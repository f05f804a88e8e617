"""Blurs and warps of images in numpy, for corruptions. Images are float64 (S, S, C), 0..1."""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def gaussian(image: Floats, sigma: float, *, truncate: float = 4.0) -> Floats:
    """Return an image (H, W, ...) blurred with a Gaussian of `sigma` pixels; the borders are mirrored."""
    radius = int(truncate * sigma + 0.5)
    if not radius:
        return image
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        image = _along(image, weights, axis)
    return image


def _along(image: Floats, weights: Floats, axis: int) -> Floats:
    radius, size = len(weights) // 2, image.shape[axis]
    total = np.zeros_like(image)
    for place, weight in enumerate(weights.tolist()):
        total += weight * image.take(mirrored(np.arange(size) + place - radius, size), axis=axis)
    return total


def mirrored(places: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return places inside 0..size-1: those outside are mirrored at the border, which is repeated (d c b a|a b c d)."""
    folded: NDArray[np.int64] = places % (2 * size)
    return np.where(folded < size, folded, 2 * size - 1 - folded)


def disk(radius: float, *, blur: float) -> Floats:
    """Return the kernel of a lens out of focus: a disk of `radius` pixels whose edge is smoothed over 3 x 3 pixels."""
    reach = math.ceil(radius) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    kernel = (x**2 + y**2 <= radius**2).astype(np.float64)
    kernel /= kernel.sum()
    weights = np.exp(-0.5 * (np.arange(-1, 2) / blur) ** 2)
    weights /= weights.sum()
    smooth: Floats = np.zeros_like(kernel)
    for down, right in np.ndindex(3, 3):
        smooth += weights[down] * weights[right] * np.roll(kernel, (down - 1, right - 1), axis=(0, 1))
    return smooth


def convolve(image: Floats, kernel: Floats) -> Floats:
    """Return an image (S, S, C) filtered with an odd square kernel; the borders are mirrored."""
    reach, size = len(kernel) // 2, len(image)
    places = mirrored(np.arange(-reach, size + reach), size)
    wide = image[places][:, places]
    total = np.zeros_like(image)
    for down, right in np.argwhere(kernel).tolist():
        total += kernel[down, right] * wide[down : down + size, right : right + size]
    return total


def motion(image: Floats, *, radius: int, sigma: float, angle: float) -> Floats:
    """Return an image smeared along `angle` in degrees, with weights that fall as half a Gaussian of `sigma` pixels."""
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-0.5 * (steps / sigma) ** 2)
    weights /= weights.sum()
    down, right = (np.rint(steps * turn).astype(np.int64) for turn in _direction(angle))
    rows, last = np.arange(len(image)), len(image) - 1
    total = np.zeros_like(image)
    for place in np.flatnonzero(weights > 1e-4).tolist():
        y, x = np.clip(rows + down[place], 0, last), np.clip(rows + right[place], 0, last)
        total += weights[place] * image[y][:, x]
    total /= weights[weights > 1e-4].sum()
    return total


def _direction(angle: float) -> tuple[float, float]:
    return math.sin(math.radians(angle)), math.cos(math.radians(angle))


def zoomed(image: Floats, factor: float) -> Floats:
    """Return an image (S, S, C) enlarged around its centre by `factor`, with bilinear interpolation."""
    size = len(image)
    weights = _zoom_weights(size, factor)
    tall = (weights @ image.reshape(size, -1)).reshape(image.shape)
    wide: Floats = np.matmul(weights, tall)  # over the second axis, for each row
    return wide


@cache
def _zoom_weights(size: int, factor: float) -> Floats:
    """Return the matrix (size, size) that reads a line of pixels at the places of an enlarged one."""
    centre = (size - 1) / 2
    places = centre + (np.arange(size) - centre) / factor
    low = np.floor(places).astype(np.int64)
    matrix = np.zeros((size, size))
    matrix[np.arange(size), low] = 1 - (places - low)
    matrix[np.arange(size), np.minimum(low + 1, size - 1)] += places - low
    return matrix


def sampled(image: Floats, *, y: Floats, x: Floats) -> Floats:
    """Return an image (S, S, C) read at fractional places (S, S), bilinearly; the borders are mirrored."""
    size = len(image)
    top, left = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    down, right = (y - top)[..., None], (x - left)[..., None]
    total = np.zeros_like(image)
    for below, beside in np.ndindex(2, 2):
        weights = (down if below else 1 - down) * (right if beside else 1 - right)
        total += weights * image[mirrored(top + below, size), mirrored(left + beside, size)]
    return total


def plasma(size: int, *, decay: float, generator: np.random.Generator) -> Floats:
    """Return clouds (size, size) in 0..1 by the diamond-square method; detail falls by `decay` squared each level."""
    side = 1 << max(1, (size - 1).bit_length())
    field, step, strength = np.zeros((side, side)), side, 1.0

    def rough(shape: tuple[int, ...]) -> Floats:
        return strength * generator.uniform(-1, 1, shape)

    while step >= 2:
        half = step // 2
        corners = field[::step, ::step]
        pairs = corners + np.roll(corners, -1, axis=0)
        field[half::step, half::step] = (pairs + np.roll(pairs, -1, axis=1)) / 4 + rough(corners.shape)
        centres = field[half::step, half::step]
        beside = centres + np.roll(centres, 1, axis=0) + corners + np.roll(corners, -1, axis=1)
        field[::step, half::step] = beside / 4 + rough(corners.shape)
        below = centres + np.roll(centres, 1, axis=1) + corners + np.roll(corners, -1, axis=0)
        field[half::step, ::step] = below / 4 + rough(corners.shape)
        step, strength = half, strength / decay**2
    field -= field.min()
    clouds: Floats = field[:size, :size] / max(float(field.max()), 1e-12)
    return clouds
