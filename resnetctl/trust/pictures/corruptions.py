"""Corruptions of images, `resnetctl-c`: fifteen kinds in five severities with the parameters of CIFAR-10-C.

The parameters are those of Hendrycks and Dietterich 2019 (arXiv:1903.12261) for images of 32 px; lengths grow with the
side of larger images. The code is our own, so the images are not those of the published files, and have another name.

Each image depends on its row, the kind and the severity only, so any batch size gives the same bytes. Severity 0 is the
identity. Images are uint8 (S, S, C); grey ones have one channel.
"""

import io
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetctl.trust.pictures import filters
from resnetctl.trust.pictures.filters import Floats

NAME = "resnetctl-c"
SEVERITIES = (1, 2, 3, 4, 5)
SIDE = 32  # pixels, for which the parameters were made
FIVE = ("gaussian_noise", "motion_blur", "fog", "contrast", "jpeg_compression")  # their mean is close to that of all

Images = NDArray[np.uint8]
Draw = np.random.Generator
Numbers = tuple[float, ...]

PARAMETERS: Mapping[str, tuple[Numbers, ...]] = MappingProxyType(
    {
        "gaussian_noise": ((0.04,), (0.06,), (0.08,), (0.09,), (0.10,)),  # standard deviation
        "shot_noise": ((500,), (250,), (100,), (75,), (50,)),  # photons of a white pixel
        "impulse_noise": ((0.01,), (0.02,), (0.03,), (0.05,), (0.07,)),  # share of values
        "speckle_noise": ((0.06,), (0.1,), (0.12,), (0.16,), (0.2,)),  # standard deviation of the factor
        "defocus_blur": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),  # radius, sigma of its edge
        "glass_blur": ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),  # sigma, reach, rounds
        "motion_blur": ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),  # radius, sigma
        "zoom_blur": ((1.06,), (1.11,), (1.16,), (1.21,), (1.26,)),  # largest factor
        "fog": ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),  # density, decay
        "brightness": ((0.05,), (0.1,), (0.15,), (0.2,), (0.3,)),  # added to the value of HSV
        "contrast": ((0.75,), (0.5,), (0.4,), (0.3,), (0.15,)),  # factor
        "saturate": ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),  # factor, offset of the saturation of HSV
        "jpeg_compression": ((80,), (65,), (58,), (50,), (40,)),  # quality
        "pixelate": ((0.95,), (0.9,), (0.85,), (0.75,), (0.65,)),  # factor of the side
        # shift, its sigma, shift of three corners; in sides of the image
        "elastic_transform": (
            (0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03),
        ),
    }
)  # fmt: skip
KINDS = tuple(PARAMETERS)


def corrupt(images: Images, kind: str, *, severity: int, rows: NDArray[np.int64], seed: int = 0) -> Images:
    """Return corrupted images (N, S, S, C).

    Args:
        kind: one of `KINDS`.
        severity: 0 (unchanged) to 5.
        rows: (N,) the rows of the images in their split, which choose what is drawn for each.
    """
    if severity == 0:
        return images
    make, numbers = _MAKERS[kind], PARAMETERS[kind][severity - 1]
    made = [
        make(image, np.random.Generator(np.random.PCG64([seed, KINDS.index(kind), severity, row])), numbers)
        for image, row in zip(images, rows.tolist(), strict=True)
    ]
    return np.stack(made)


def suits(kind: str, *, channels: int) -> bool:
    """Return whether a kind changes images of so many channels: grey ones have no saturation."""
    return kind != "saturate" or channels == 3


def _wide(image: Images) -> Floats:
    return image / 255


def _narrow(image: Floats) -> Images:
    result: Images = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return result


def _scale(image: Images) -> float:
    return max(1.0, len(image) / SIDE)


def _gaussian_noise(image: Images, draw: Draw, numbers: Numbers) -> Images:
    return _narrow(_wide(image) + draw.normal(0, numbers[0], image.shape))


def _shot_noise(image: Images, draw: Draw, numbers: Numbers) -> Images:
    return _narrow(draw.poisson(_wide(image) * numbers[0]) / numbers[0])


def _impulse_noise(image: Images, draw: Draw, numbers: Numbers) -> Images:
    is_hit, is_white = draw.random(image.shape) < numbers[0], draw.random(image.shape) < 0.5
    return np.where(is_hit, np.where(is_white, 255, 0), image).astype(np.uint8)


def _speckle_noise(image: Images, draw: Draw, numbers: Numbers) -> Images:
    wide = _wide(image)
    return _narrow(wide + wide * draw.normal(0, numbers[0], image.shape))


def _defocus_blur(image: Images, draw: Draw, numbers: Numbers) -> Images:
    kernel = filters.disk(numbers[0] * _scale(image), blur=numbers[1] * _scale(image))
    return _narrow(filters.convolve(_wide(image), kernel))


def _glass_blur(image: Images, draw: Draw, numbers: Numbers) -> Images:
    """Blur, let each pixel take the value of a near one above or left, from the last to the first, and blur again."""
    sigma, rounds = numbers[0] * _scale(image), int(numbers[2])
    reach = round(numbers[1] * _scale(image))
    size = len(image)
    places = list(range(size * size))
    inner = range(size - reach - 1, reach - 1, -1)  # the border keeps its pixels
    for moves in draw.integers(-reach, 0, (rounds, size, size, 2), endpoint=True).tolist():
        for y in inner:
            for x in inner:
                down, right = moves[y][x]
                places[y * size + x] = places[(y + down) * size + x + right]
    blurred = filters.gaussian(_wide(image), sigma)
    shuffled = blurred.reshape(size * size, -1)[places].reshape(image.shape)
    return _narrow(filters.gaussian(shuffled, sigma))


def _motion_blur(image: Images, draw: Draw, numbers: Numbers) -> Images:
    scale = _scale(image)
    return _narrow(
        filters.motion(
            _wide(image), radius=round(numbers[0] * scale), sigma=numbers[1] * scale, angle=float(draw.uniform(-45, 45))
        )
    )


def _zoom_blur(image: Images, draw: Draw, numbers: Numbers) -> Images:
    wide = _wide(image)
    factors = np.arange(1, numbers[0], 0.01)
    zooms = [filters.zoomed(wide, factor) for factor in factors.round(2).tolist()]
    return _narrow((wide + np.sum(zooms, axis=0)) / (len(factors) + 1))


def _fog(image: Images, draw: Draw, numbers: Numbers) -> Images:
    density, decay = numbers
    wide = _wide(image)
    clouds = filters.plasma(len(image), decay=decay, generator=draw)[..., None]
    most = max(float(wide.max()), 1e-12)
    return _narrow((wide + density * clouds) * most / (most + density))


def _brightness(image: Images, draw: Draw, numbers: Numbers) -> Images:
    """Add to the value of HSV, the largest channel: all channels grow by the same factor. Black becomes grey."""
    wide = _wide(image)
    value = wide.max(axis=2, keepdims=True)
    brighter = np.minimum(value + numbers[0], 1)
    return _narrow(np.where(value > 0, wide * brighter / np.maximum(value, 1e-12), brighter))


def _contrast(image: Images, draw: Draw, numbers: Numbers) -> Images:
    wide = _wide(image)
    mean = wide.mean(axis=(0, 1), keepdims=True)
    return _narrow((wide - mean) * numbers[0] + mean)


def _saturate(image: Images, draw: Draw, numbers: Numbers) -> Images:
    """Change the saturation of HSV, (max - min) / max, and keep hue and value. Grey has the hue of red, as in HSV."""
    if image.shape[2] != 3:
        return image
    wide = _wide(image)
    value, least = wide.max(axis=2, keepdims=True), wide.min(axis=2, keepdims=True)
    spread = value - least
    saturation = np.clip(spread / np.maximum(value, 1e-12) * numbers[0] + numbers[1], 0, 1)
    # how far each channel is below the largest one, as a share of the spread; of red for grey pixels
    depth = np.where(spread > 0, (value - wide) / np.maximum(spread, 1e-12), np.array([0.0, 1.0, 1.0]))
    return _narrow(value * (1 - saturation * depth))


def _jpeg_compression(image: Images, draw: Draw, numbers: Numbers) -> Images:
    file = io.BytesIO()
    _picture(image).save(file, "JPEG", quality=int(numbers[0]))
    return _pixels(file, image)


def _pixelate(image: Images, draw: Draw, numbers: Numbers) -> Images:
    from PIL import Image

    size = len(image)
    small = max(1, int(size * numbers[0]))
    picture = _picture(image).resize((small, small), Image.Resampling.BOX).resize((size, size), Image.Resampling.BOX)
    return np.asarray(picture, np.uint8).reshape(image.shape)


def _elastic_transform(image: Images, draw: Draw, numbers: Numbers) -> Images:
    """Move three corners of a square, then every pixel by a smooth random field."""
    size = len(image)
    alpha, sigma, corner = (number * size for number in numbers)
    half, reach = size / 2, size // 3
    before = np.array([[half + reach, half + reach], [half + reach, half - reach], [half - reach, half - reach]])
    after = before + draw.uniform(-corner, corner, before.shape)
    # the affine map from the corners after the move to those before it, in (y, x)
    back = np.linalg.solve(np.column_stack([after, np.ones(3)]), before)
    y, x = np.mgrid[:size, :size].astype(np.float64)
    places = np.stack([y, x, np.ones_like(y)], axis=-1) @ back
    moved = filters.sampled(_wide(image), y=places[..., 0], x=places[..., 1])
    down, right = (filters.gaussian(draw.uniform(-1, 1, (size, size)), sigma, truncate=3.0) * alpha for _ in range(2))
    return _narrow(filters.sampled(moved, y=y + down, x=x + right))


def _picture(image: Images) -> Any:
    from PIL import Image

    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)


def _pixels(file: io.BytesIO, image: Images) -> Images:
    from PIL import Image

    with Image.open(file) as picture:
        return np.asarray(picture, np.uint8).reshape(image.shape)


_MAKERS: Mapping[str, Callable[[Images, Draw, Numbers], Images]] = MappingProxyType(
    {
        "gaussian_noise": _gaussian_noise, "shot_noise": _shot_noise, "impulse_noise": _impulse_noise,
        "speckle_noise": _speckle_noise, "defocus_blur": _defocus_blur, "glass_blur": _glass_blur,
        "motion_blur": _motion_blur, "zoom_blur": _zoom_blur, "fog": _fog, "brightness": _brightness,
        "contrast": _contrast, "saturate": _saturate, "jpeg_compression": _jpeg_compression, "pixelate": _pixelate,
        "elastic_transform": _elastic_transform,
    }
)  # fmt: skip
