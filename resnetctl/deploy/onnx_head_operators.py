"""The operators that detectors and segmenters need besides those of a classifier, with their shapes and their work.

Some of them make large tensors from small ones, or outputs whose shape depends on numbers. Their rules take sizes from
constants and shapes only, and give the largest shape that is possible. A classifier may have none of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from resnetctl.deploy.onnx_nodes import Node, Result, Shape


def _broadcast(node: Node) -> Result:
    return Result([np.broadcast_shapes(*node.inputs)])


def _same(node: Node) -> Result:
    return Result([node.inputs[0]])


def _expand(node: Node) -> Result:
    return Result([np.broadcast_shapes(node.inputs[0], _wanted(node, 1))])


def _wanted(node: Node, position: int) -> Shape:
    """Return a shape that is an input. Raises `ValueError` if it is absent."""
    wanted = node.numbers(position)
    if wanted is None:
        raise ValueError("it states no shape")
    return wanted


def _gather_elements(node: Node) -> Result:
    data, index = node.inputs
    axis = axis_of(node, len(data), default=0)
    if len(data) != len(index) or any(
        have < want for place, (have, want) in enumerate(zip(data, index, strict=True)) if place != axis
    ):
        raise ValueError(f"an index of {index} does not fit {data}")
    return Result([index])


def _gather_nd(node: Node) -> Result:
    data, (*places, depth) = node.inputs
    batch = node.whole("batch_dims", 0)
    if batch or not 1 <= depth <= len(data):
        raise ValueError(f"an index of {depth} numbers does not fit {data}")
    return Result([(*places, *data[depth:])])


def _scatter_elements(node: Node) -> Result:
    data, index, updates = node.inputs
    axis_of(node, len(data), default=0)
    if index != updates or len(index) != len(data):
        raise ValueError(f"{updates} numbers do not fit {index} places in {data}")
    return Result([data])


def _top_k(node: Node) -> Result:
    shape = node.inputs[0]
    axis = axis_of(node, len(shape), default=-1)
    (count,) = _wanted(node, 1)
    if not 0 <= count <= shape[axis]:
        raise ValueError(f"the best {count} of {shape[axis]}")
    best = (*shape[:axis], count, *shape[axis + 1 :])
    return Result([best, best], work=_sorting(shape[axis]) * shape[axis] // max(1, count))


def _sorting(count: int) -> int:
    """Return the comparisons for each value of a sort."""
    return max(1, math.ceil(math.log2(max(2, count))))


def _arg_max(node: Node) -> Result:
    (shape,) = node.inputs
    axis = axis_of(node, len(shape), default=0)
    kept = (1,) if node.whole("keepdims", 1) else ()
    return Result([(*shape[:axis], *kept, *shape[axis + 1 :])], work=shape[axis])


def _resize(node: Node) -> Result:
    """`Resize` to sizes, or by scales. Its window is at most 4 x 4: antialiasing could read the whole image."""
    shape = node.inputs[0]
    if node.whole("antialias", 0) or node.ints("axes", ()):
        raise ValueError("it is not a plain resize")
    sizes = node.numbers(3)
    if sizes is None:
        scales = node.reals(2)
        sizes = tuple(math.floor(side * scale) for side, scale in zip(shape, scales, strict=True))
    if len(sizes) != len(shape) or sizes[:2] != shape[:2]:
        raise ValueError(f"{shape} cannot become {sizes}")
    return Result([sizes], work=16)


def _suppression(node: Node) -> Result:
    """`NonMaxSuppression`: at most every box of every class is kept, and each is compared with all others."""
    (batch, count, four), (images, classes, scores) = node.inputs[:2]
    if (batch, count, four) != (images, scores, 4):
        raise ValueError(f"{count} boxes of {four} numbers do not fit {scores} scores")
    return Result([(batch * classes * count, 3)], work=4 * count)


def _roi_align(node: Node) -> Result:
    (_, channels, _, _), (count, four), (owners,) = node.inputs
    samples = node.whole("sampling_ratio", 0)
    if four != 4 or owners != count or samples < 1:
        raise ValueError("its regions are not boxes with a fixed number of samples")
    rows, columns = node.whole("output_height", 1), node.whole("output_width", 1)
    return Result([(count, channels, rows, columns)], work=4 * samples**2)


def axis_of(node: Node, rank: int, *, default: int) -> int:
    """Return the attribute `axis`, counted from the front. Raises `ValueError` if it is out of range."""
    axis = node.whole("axis", default)
    if not -rank <= axis < rank:
        raise ValueError(f"its axis {axis} is out of range")
    return axis % rank


GROUPS: tuple[tuple[Callable[[Node], Result], str], ...] = (
    (_broadcast, "Where Greater GreaterOrEqual Less LessOrEqual Equal And Or"),
    (_same, "Floor Ceil Not CumSum"),
    (_expand, "Expand"),
    (_gather_elements, "GatherElements"),
    (_gather_nd, "GatherND"),
    (_scatter_elements, "ScatterElements"),
    (_top_k, "TopK"),
    (_arg_max, "ArgMax"),
    (_resize, "Resize"),
    (_suppression, "NonMaxSuppression"),
    (_roi_align, "RoiAlign"),
)
RULES = {name: rule for rule, names in GROUPS for name in names.split()}
