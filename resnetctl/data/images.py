"""Pixels made square, cropped and given other channels. The store and `predict` share the one resize function.

Shapes: H rows, W columns, C channels, uint8 0..255.
"""

import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image

from resnetctl.data.reading.decode import Pixels, packed, read_image, to_array, with_mode
from resnetctl.errors import DataError
from resnetctl.spec import MAX_PIXELS, Fit, ImageSpec, Interpolation
from resnetctl.wording import counted

LUMA = (19595, 38470, 7471)  # ITU-R 601-2 weights in 1/65536, the integers of Pillow's convert("L")
_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def fit(image: Pixels, *, resize: int, fit: Fit = "crop", interpolation: Interpolation = "bilinear") -> Pixels:
    """Return `(H, W, C)` fitted into a square `(resize, resize, C)`. An image of that size is returned unchanged.

    `crop` takes the central square, `pad` adds black borders, `squash` changes the aspect ratio. Shrinking is
    antialiased (Pillow's filters). The store, evaluation and `predict` all use this, so they get the same pixels.
    Training resizes batches with `data.preprocess.resize`, which documents the small differences.
    """
    height, width, channels = image.shape
    if height == width == resize:
        return image
    if channels == 3:
        return _fitted(Image.fromarray(np.ascontiguousarray(image)), resize, fit, interpolation)
    planes = [Image.fromarray(np.ascontiguousarray(image[..., i])) for i in range(channels)]
    return np.stack([_fitted(plane, resize, fit, interpolation) for plane in planes], axis=-1)


def square(
    image: Image.Image, channels: int, *, resize: int, fit: Fit = "crop", interpolation: Interpolation = "bilinear"
) -> Pixels:
    """Return an image of mode "L", "RGB" or "RGBX" as `(resize, resize, channels)`: `fit(to_array(image))` in one step.

    Raises `BadImage` unless channels is 1 or 3.
    """
    if image.width == image.height == resize:
        return to_array(image, channels)
    return _fitted(with_mode(image, channels), resize, fit, interpolation).reshape(resize, resize, channels)


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
    raise DataError(f"images with {counted(count, 'channel')} cannot be used where {channels} are expected")


def prepare(file: Path | bytes | Image.Image, spec: ImageSpec, *, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Return an image file as model input, `(spec.size, spec.size, spec.channels)` uint8. Raises `BadImage`."""
    return prepare_array(read_image(file, spec.channels, max_pixels=max_pixels), spec)


def prepare_array(image: Pixels, spec: ImageSpec) -> Pixels:
    """Return `(H, W, C)` as `(spec.size, spec.size, spec.channels)`: convert channels, fit, crop the centre."""
    image = with_channels(image, spec.channels)
    fitted = fit(image, resize=spec.resize, fit=spec.fit, interpolation=spec.interpolation)
    return centre_crop(fitted, spec.size)


def _fitted(image: Image.Image, resize: int, fit: Fit, interpolation: Interpolation) -> Pixels:
    """Return an image fitted into a square: `(resize, resize)` for mode "L", `(resize, resize, 3)` for other modes."""
    return packed(_small(image, resize, fit, interpolation))


def _small(image: Image.Image, resize: int, fit: Fit, interpolation: Interpolation) -> Image.Image:
    resample = _FILTERS[interpolation]
    width, height = image.size
    if fit == "squash":
        return image.resize((resize, resize), resample)
    if fit == "crop":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return image.resize((resize, resize), resample, box=(left, top, left + side, top + side))
    scale = resize / max(width, height)
    small = image.resize((max(1, round(width * scale)), max(1, round(height * scale))), resample)
    canvas = Image.new(image.mode, (resize, resize))
    canvas.paste(small, ((resize - small.width) // 2, (resize - small.height) // 2))
    return canvas


def resized(image: ImageSpec, size: int) -> ImageSpec:
    """Return the preprocessing for images of `size` pixels (0: unchanged). The margin around the crop scales too."""
    if size in (0, image.size):
        return image
    return dataclasses.replace(image, size=size, resize=max(size, round(size * image.resize / image.size)))
