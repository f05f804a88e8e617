"""The contract `raw/1`: an input that takes the picture as it is. Imports neither onnx nor torch.

Input `image` is uint8 (batch, height, width, channels): grey, RGB or RGBA, of any size. The operators that this module
writes give float32 `pixel_values` (batch, C, S, S) in 0..1, the input of the contract `float/1`. They are a function of
the card's `ImageSpec`, so a reader can write them again and compare.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from resnetctl.data.images import LUMA
from resnetctl.deploy.onnx_card import IMAGE, INPUT
from resnetctl.deploy.raw.graph import Graph, Value, reshaped, sliced
from resnetctl.deploy.raw.resize import SUPPORT, lines, plan, resized
from resnetctl.errors import UsageError
from resnetctl.hints import Setting
from resnetctl.spec import ImageSpec

PREFIX = "prep"
CHANNELS = (1, 3, 4)  # of a picture: grey, RGB, RGBA
REFUSAL = "image_needs_1_3_or_4_channels"  # the name of the operator that refuses others: onnxruntime prints it
WHITE = 255.0  # transparent pictures are drawn over white


def is_raw(image: ImageSpec) -> bool:
    """Return whether the preprocessing of `image` can be a part of the file."""
    return image.channels in (1, 3) and image.interpolation in SUPPORT


def require_raw(image: ImageSpec) -> None:
    """Raise `UsageError` when the preprocessing of `image` cannot be a part of the file."""
    if not is_raw(image):
        raise UsageError(
            f"a file can prepare images with 1 or 3 channels by {', '.join(SUPPORT)}; "
            f"this network needs {image.channels} by {image.interpolation}",
            where=Setting("input", "raw"),
            hint=Setting("input", "float"),
        )


@cache
def preprocessing(image: ImageSpec) -> Graph:
    """Return the operators from `image` to `pixel_values`. Cached: do not change it."""
    graph = Graph(PREFIX)
    picture = graph.value(IMAGE, np.uint8)
    shape = picture.op("Shape")
    height, width = (
        sliced(shape, (axis, axis + 1), axis=0).cast(np.float64).op("Squeeze", graph.constant([0], np.int64))
        for axis in (1, 2)
    )
    down, across = lines(height, width, image=image)
    # Pillow 13 begins with the rows where the height shrinks by more than twice as many pixels as the width.
    fewer = height - down.outputs
    rows_first = fewer.op("Greater", 0.0).op("And", fewer.op("Greater", (width - across.outputs) * 2.0))
    rows, columns = (plan(line, outputs=image.size, interpolation=image.interpolation) for line in (down, across))
    used = sliced(sliced(picture, (rows.begin, rows.end), axis=1), (columns.begin, columns.end), axis=2)
    pixels = resized(planes(used, image.channels), (rows, columns), image=image, rows_first=rows_first.cast(np.int64))
    pixels.op("Div", 255.0, output=INPUT)
    return graph


def planes(picture: Value, channels: int) -> Value:
    """Return uint8 (B, h, w, 1, 3 or 4) as (B, channels, h, w): grey repeated, RGBA over white, RGB to grey by luma.

    The batch is cut into a part for each kind of picture, and all parts but one are empty.
    """
    graph = picture.graph
    shape = picture.op("Shape")
    count, height, width, depth = (sliced(shape, (axis, axis + 1), axis=0) for axis in range(4))
    chw = picture.op("Transpose", perm=[0, 3, 1, 2])
    parts = {}
    for kind in CHANNELS:
        size = count * depth.op("Equal", kind).cast(np.int64)
        parts[kind] = reshaped(sliced(chw, (0, size), axis=0), size, kind, height, width)
    colour = parts[3].op("Concat", _over_white(parts[4]), axis=0)
    if channels == 1:
        luma = (colour.cast(np.float32) * np.array(LUMA, np.float32).reshape(1, 3, 1, 1)).op(
            "ReduceSum", graph.constant([1], np.int64), keepdims=1
        )
        whole = ((luma + 0x8000) * 2.0**-16).op("Floor").cast(np.uint8).op("Concat", parts[1], axis=0)
    else:
        whole = colour.op("Concat", parts[1].op("Concat", parts[1], parts[1], axis=1), axis=0)
    return reshaped(whole, count, channels, height, width, name=f"{PREFIX}/{REFUSAL}")


def _over_white(rgba: Value) -> Value:
    """Return uint8 (B, 4, h, w) as (B, 3, h, w), as Pillow's `alpha_composite` over opaque white, in whole numbers."""
    colour, alpha = (sliced(rgba, ends, axis=1).cast(np.float32) for ends in ((0, 3), (3, 4)))
    blend = (colour * alpha + (WHITE - alpha) * WHITE) * 128.0 + float(0x4000)
    return ((blend + (blend * 2.0**-8).op("Floor")) * 2.0**-15).op("Floor").cast(np.uint8)
