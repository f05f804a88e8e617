"""Pillow's resize in standard ONNX operators, bit for bit. Imports neither onnx nor torch.

Pillow resizes in two passes, one for each axis. An output pixel is a weighted sum of the pixels around its centre, with
integer weights of 22 bits, and is rounded to 8 bits after each pass (`src/libImaging/Resample.c`, Pillow 13). Here the
graph computes the weights in float64, in the order of that file. Each weight is split into `(high + low) * 2**7`, where
`low` has 7 bits after the point. Then the sums of both products have at most 24 bits, which float32 holds exactly. So
neither the order of the sum nor the number of threads can change a bit. This is proved for images that shrink up to 514
times (bilinear), 257 times (bicubic) or 171 times (lanczos).

Shapes: n pixels a line, S outputs a line, P blocks of outputs, K pixels that a block reads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from resnetctl.deploy.raw.graph import Operand, Value, reshaped, sliced
from resnetctl.spec import ImageSpec

BITS = 22  # of Pillow's integer weights: PRECISION_BITS
LOW_BITS = 7  # of the low part of a weight
BLOCK = 16  # outputs that share one gathered part of a line
EMPTY = "image_needs_pixels"  # the name of the operators that refuse a picture of zero height or width
SUPPORT = {"bilinear": 1.0, "bicubic": 2.0, "lanczos": 3.0}  # radius of the filters, in pixels of the smaller image


@dataclass(frozen=True, kw_only=True)
class Line:
    """How one axis is resized. All values are float64 scalars.

    Attributes:
        pixels: length of the image.
        start, length: the part of it that is used.
        outputs: length of the whole result.
        first: the place in the result of our output 0; places outside `0..outputs` are black.
    """

    pixels: Value
    start: Operand
    length: Value
    outputs: Operand
    first: Operand


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The pixels that each block of outputs reads, and their weights.

    Attributes:
        index: int64 (P, K).
        weights: float32 (P, 2 * block, K): the high parts of a block's outputs, then the low parts.
        begin, end: int64 (1,), the range of pixels that any block reads.
    """

    index: Value
    weights: Value
    begin: Value
    end: Value


def lines(height: Value, width: Value, *, image: ImageSpec) -> tuple[Line, Line]:
    """Return how `data.images.fit` and the central crop treat the rows and the columns."""
    margin, resize = float((image.resize - image.size) // 2), float(image.resize)
    if image.fit == "squash":
        down, across = (
            Line(pixels=side, start=0.0, length=side, outputs=resize, first=margin) for side in (height, width)
        )
    elif image.fit == "crop":
        square = height.op("Min", width)
        down, across = (
            Line(pixels=side, start=(side - square) / 2.0, length=square, outputs=resize, first=margin)
            for side in (height, width)
        )
    else:
        scale = resize / height.op("Max", width)
        down, across = (_padded(side, scale, resize=resize, margin=margin) for side in (height, width))
    return down, across


def _padded(side: Value, scale: Value, *, resize: float, margin: float) -> Line:
    small = (side * scale).op("Round").op("Max", 1.0)
    border = ((resize - small) / 2.0).op("Floor")
    return Line(pixels=side, start=0.0, length=side, outputs=small, first=margin - border)


def plan(line: Line, *, outputs: int, interpolation: str) -> Plan:
    """Return the weights of `precompute_coeffs` in Resample.c, for blocks of outputs."""
    graph, pixels = line.pixels.graph, line.pixels
    block = min(BLOCK, outputs)
    blocks = -(-outputs // block)
    places = graph.constant(np.arange(blocks * block).reshape(blocks, block, 1), np.float64) + line.first
    scale = line.length / line.outputs
    shrink = scale.op("Max", 1.0)
    support = shrink * SUPPORT[interpolation]
    centre = (places + 0.5) * scale + line.start
    low = (centre - support + 0.5).op("Floor").op("Max", 0.0).op("Min", pixels - 1.0)
    high = (centre + support + 0.5).op("Floor").op("Min", pixels).op("Max", low + 1.0)
    axes = graph.constant([1], np.int64)
    start, end = low.op("ReduceMin", axes, keepdims=1), high.op("ReduceMax", axes, keepdims=1)
    count = (end - start).op("ReduceMax", keepdims=0)
    read = graph.constant(0.0, np.float64).op("Range", count, graph.constant(1.0, np.float64)) + start  # (P, 1, K)
    used = read.op("GreaterOrEqual", low).op("And", read.op("Less", high)).cast(np.float64)
    distance = (read - centre + 0.5) * (1.0 / shrink)
    weights = _whole(_filtered(distance, interpolation) * used)
    is_inside = places.op("GreaterOrEqual", 0.0).op("And", places.op("Less", line.outputs)).cast(np.float64)
    first, last = start.op("ReduceMin", keepdims=0), end.op("ReduceMax", keepdims=0)
    index = (read.op("Min", last - 1.0) - first).cast(np.int64).op("Squeeze", axes)
    return Plan(index=index, weights=_split(weights * is_inside), begin=_position(first), end=_position(last))


def _position(place: Value) -> Value:
    return place.cast(np.int64).op("Unsqueeze", place.graph.constant([0], np.int64))


def _whole(weights: Value) -> Value:
    """Return weights (P, block, K), divided by their sum, as whole numbers: rounded half away from zero."""
    total = weights.op("ReduceSum", weights.graph.constant([2], np.int64), keepdims=1)
    share = weights / (total + total.op("Equal", 0.0).cast(np.float64))  # a sum of 0 divides nothing
    return (share.op("Abs") * 2.0**BITS + 0.5).op("Floor") * share.op("Sign")


def _split(weights: Value) -> Value:
    """Return the high and the low part of whole weights, `(high + low) * 2**LOW_BITS`, as float32 (P, 2 * block, K)."""
    scaled = weights * 2.0**-LOW_BITS
    high = (scaled + 0.5).op("Floor")
    return high.op("Concat", scaled - high, axis=1).cast(np.float32)


def _filtered(x: Value, interpolation: str) -> Value:
    """Return the filter's weight at a distance of `x` pixels."""
    if interpolation == "bilinear":
        return (1.0 - x.op("Abs")).op("Max", 0.0)
    if interpolation == "bicubic":
        return _bicubic(x.op("Abs"))
    inside = x.op("GreaterOrEqual", -3.0).op("And", x.op("Less", 3.0)).cast(np.float64)
    return _sinc(x) * _sinc(x / 3.0) * inside


def _bicubic(x: Value) -> Value:
    a = -0.5  # as Pillow has it
    near = ((x * (a + 2) - (a + 3)) * x) * x + 1.0
    far = (((x - 5.0) * x + 8.0) * x - 4.0) * a
    is_near = x.op("Less", 1.0).cast(np.float64)
    is_far = x.op("Less", 2.0).cast(np.float64) - is_near
    return near * is_near + far * is_far


def _sinc(x: Value) -> Value:
    zero = x.op("Equal", 0.0).cast(np.float64)  # sinc(0) is 1
    angle = x * math.pi
    return angle.op("Sin") / (angle + zero) + zero


def resized(planes: Value, plans: tuple[Plan, Plan], *, image: ImageSpec, rows_first: Value) -> Value:
    """Return uint8 (B, C, h, w), cut to what the plans read, as float32 (B, C, S, S) of whole numbers 0..255.

    Args:
        plans: of the rows, and of the columns.
        rows_first: int64 (1,), 1 if the vertical pass comes first, else 0. There is no control flow: the batch is cut
            into a part for each order, and one part is empty.
    """
    (down, across), size, channels = plans, image.size, image.channels
    shape = planes.op("Shape")
    count, height, width = (sliced(shape, (axis, axis + 1), axis=0) for axis in (0, 2, 3))
    cut = count * rows_first
    # Each transpose swaps two axes, which takes onnxruntime a tenth of the time of moving several at once.
    stack = (count - cut) * channels
    x = reshaped(sliced(planes, (cut, count), axis=0), stack * height, width)
    x = _pass(x.op("Transpose", perm=[1, 0]), across, size)  # (S, B C h)
    x = reshaped(x, stack * size, height).op("Transpose", perm=[1, 0])
    x = _pass(reshaped(x, height, stack * size), down, size)  # (S, S B C), the columns are the inner S
    x = reshaped(x, size * size, stack).op("Transpose", perm=[1, 0])
    across_first = reshaped(x, count - cut, channels, size, size)
    stack = cut * channels
    x = reshaped(sliced(planes, (0, cut), axis=0), stack, height, width).op("Transpose", perm=[1, 0, 2])
    x = _pass(reshaped(x, height, stack * width), down, size)  # (S, B C w)
    x = reshaped(x, stack * size, width).op("Transpose", perm=[1, 0])
    x = _pass(x, across, size).op("Transpose", perm=[1, 0])  # (S B C, S), the rows are the outer S
    x = reshaped(x, size, stack, size).op("Transpose", perm=[1, 0, 2])
    return reshaped(x, cut, channels, size, size).op("Concat", across_first, axis=0)


def _pass(x: Value, plan: Plan, outputs: int) -> Value:
    """Return whole values (n, M), resized to float32 (outputs, M) of whole numbers 0..255."""
    block = min(BLOCK, outputs)
    blocks = -(-outputs // block)
    read = x.op("Gather", plan.index, axis=0, name=x.graph.numbered(EMPTY))  # (P, K, M)
    sums = plan.weights.op("MatMul", read.cast(np.float32))  # (P, 2 * block, M)
    high, low = sliced(sums, (0, block), axis=1), sliced(sums, (block, 2 * block), axis=1)
    width = sliced(x.op("Shape"), (1, 2), axis=0)
    result = reshaped(_rounded(high, low), blocks * block, width)
    return result if blocks * block == outputs else sliced(result, (0, outputs), axis=0)


def _rounded(high: Value, low: Value) -> Value:
    """Return `clip8((sum + 2**21) >> 22)` of Resample.c, exactly, for the sum `(high + low) * 2**LOW_BITS`."""
    total = high + low.op("Floor") + 2.0 ** (BITS - 1 - LOW_BITS)
    return (total * 2.0 ** (LOW_BITS - BITS)).op("Floor").op("Clip", 0.0, 255.0)
