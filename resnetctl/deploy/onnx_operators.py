"""The operators that an exported network may have, and the shapes and the work that follow from them.

A file of a few bytes can ask onnxruntime for any amount of memory or time: `Expand`, `Tile` and `Range` make large
tensors from small ones. So a file may have only the operators of a table. Each has a rule that gives its output shapes
from its input shapes, without running it. The sum of all values that are alive at once, and of all multiplications, is
bounded by the size of the input image.

Shapes have a batch of `BATCH` images. Formulas: github.com/onnx/onnx/blob/main/docs/Operators.md.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from resnetctl.deploy import onnx_head_operators
from resnetctl.deploy.onnx_nodes import Node, Numbers, Result, Shape
from resnetctl.deploy.protobuf import Message

BATCH = 2
MAX_NODES = 100_000  # ResNet-1202 has 5,000
# Values that are alive at once, and multiplications, for each image: at least the first number, or the second for
# each value of the image. ResNets need up to 700 and 200,000 for each value.
MAX_VALUES = (1 << 22, 64)
MAX_WORK = (1 << 36, 1 << 20)


def infer(graph: Message, inputs: Mapping[str, Shape], *, read: Numbers) -> dict[str, Shape]:
    """Return the shapes of all values of a GraphProto, for images of the shape in `inputs`.

    A value whose shape depends on numbers, such as the boxes that a suppression keeps, has its largest shape.

    Args:
        inputs: shapes of the graph's inputs, with `BATCH` images.
        read: returns the numbers of a TensorProto.

    Raises:
        ValueError: an operator is not in the table or does not fit its inputs, or needs too much memory or time.
    """
    constants = {item.one("name", ""): item for item in graph.all("initializer")}
    shapes = {name: tuple(item.all("dims")) for name, item in constants.items()} | dict(inputs)
    nodes = graph.all("node")
    if len(nodes) > MAX_NODES:
        raise ValueError(f"it has {len(nodes):,} operators, the limit is {MAX_NODES:,}")
    uses = Counter(name for node in nodes for name in node.all("input"))
    uses.update(item.one("name", "") for item in graph.all("output"))
    images = sum(map(math.prod, inputs.values()))
    budget = _Budget(alive=images, values=_limit(MAX_VALUES, images), work=_limit(MAX_WORK, images))
    values: dict[str, tuple[int, ...]] = {}
    for message in nodes:
        result = _applied(Node(message, shapes, constants, read, values))
        names = message.all("output")
        if len(names) > len(result.shapes) or any(name in shapes for name in names):
            raise ValueError(f"{_title(message)} has other outputs than its operator")
        shapes.update(zip(names, result.shapes, strict=False))
        if result.values is not None:
            values[names[0]] = result.values
        budget.spend(message, result)
        for name in message.all("input"):
            uses[name] -= 1
            if not uses[name] and name not in constants:
                budget.alive -= math.prod(shapes.get(name, (0,)))
    return shapes


@dataclass
class _Budget:
    values: int
    work: int
    alive: int = 0

    def spend(self, message: Message, result: Result) -> None:
        count = sum(map(math.prod, result.shapes))
        self.alive += count
        self.work -= count * result.work
        if self.alive > self.values or self.work < 0:
            need = "memory" if self.alive > self.values else "time"
            raise ValueError(f"{_title(message)} needs more {need} than a network for such images")


def _limit(limits: tuple[int, int], images: int) -> int:
    floor, factor = limits
    return BATCH * max(floor, factor * images // BATCH)


def _applied(node: Node) -> Result:
    kind = node.message.one("op_type", "")
    try:
        result = (RULES.get(kind) or onnx_head_operators.RULES[kind])(node)
    except (ValueError, KeyError, IndexError, TypeError, ArithmeticError) as error:
        raise ValueError(f"{_title(node.message)} does not fit its inputs: {error}") from None
    if any(side < 0 for shape in result.shapes for side in shape):
        raise ValueError(f"{_title(node.message)} has a negative side")
    return result


def _title(message: Message) -> str:
    return f"the operator '{message.one('name', '') or message.one('op_type', '')}'"


def _broadcast(node: Node) -> Result:
    return Result([np.broadcast_shapes(*node.inputs)])


def _same(node: Node) -> Result:
    return Result([node.inputs[0]])


def _conv(node: Node) -> Result:
    (batch, channels, *_), (filters, depth, *kernel) = node.inputs[:2]
    if channels != depth * node.whole("group", 1) or node.ints("kernel_shape", kernel) != tuple(kernel):
        raise ValueError("the weight has another shape")
    return Result([(batch, filters, *_windows(node, tuple(kernel)))], work=depth * math.prod(kernel))


def _pool(node: Node) -> Result:
    kernel = node.ints("kernel_shape", ())
    return Result([(*node.inputs[0][:2], *_windows(node, kernel))], work=math.prod(kernel))


def _windows(node: Node, kernel: Shape) -> list[int]:
    """Return the sides of the output of a sliding window."""
    sides = node.inputs[0][2:]
    ones = (1,) * len(sides)
    strides, dilations = node.ints("strides", ones), node.ints("dilations", ones)
    pads = node.ints("pads", (0,) * 2 * len(sides))
    if node.text("auto_pad") not in (b"", b"NOTSET") or min(*strides, *dilations, *kernel) < 1 or min(pads) < 0:
        raise ValueError("its windows are not plain")
    before, after = pads[: len(sides)], pads[len(sides) :]
    if any(pad >= side * step for pad, side, step in zip((*before, *after), kernel * 2, dilations * 2, strict=True)):
        raise ValueError("its padding is wider than its window")
    up = node.whole("ceil_mode", 0)
    rows = zip(sides, kernel, strides, dilations, before, after, strict=True)
    return [
        (side + first + last - step * (size - 1) - 1 + (stride - 1) * up) // stride + 1
        for side, size, stride, step, first, last in rows
    ]


def _reduce(node: Node) -> Result:
    (shape, *_) = node.inputs
    axes = node.axes(position=1, rank=len(shape))
    if not axes and not node.whole("noop_with_empty_axes", 0):
        axes = set(range(len(shape)))
    kept = node.whole("keepdims", 1)
    sides = [1 if axis in axes else side for axis, side in enumerate(shape) if kept or axis not in axes]
    return Result([tuple(sides)], work=math.prod(shape[axis] for axis in axes))


def _global_pool(node: Node) -> Result:
    (shape,) = node.inputs
    return Result([(*shape[:2], *(1 for _ in shape[2:]))], work=math.prod(shape[2:]))


def _gemm(node: Node) -> Result:
    left, right = node.inputs[:2]
    rows, inner = reversed(left) if node.whole("transA", 0) else left
    depth, columns = reversed(right) if node.whole("transB", 0) else right
    if inner != depth:
        raise ValueError(f"{inner} columns meet {depth} rows")
    return Result([np.broadcast_shapes((rows, columns), *node.inputs[2:])], work=inner)


def _matmul(node: Node) -> Result:
    left, right = node.inputs
    if len(left) < 2 or len(right) < 2 or left[-1] != right[-2]:
        raise ValueError(f"{left} and {right} cannot be multiplied")
    return Result([(*np.broadcast_shapes(left[:-2], right[:-2]), left[-2], right[-1])], work=left[-1])


def _reshape(node: Node) -> Result:
    shape, wanted = node.inputs[0], list(node.numbers(1) or ())
    if not node.whole("allowzero", 0):
        wanted = [shape[axis] if side == 0 else side for axis, side in enumerate(wanted)]
    if wanted.count(-1) == 1:
        wanted[wanted.index(-1)] = math.prod(shape) // -math.prod(wanted)
    if math.prod(wanted) != math.prod(shape):
        raise ValueError(f"{shape} has no shape {tuple(wanted)}")
    return Result([tuple(wanted)])


def _shape(node: Node) -> Result:
    """`Shape`: the batch of an image is that of the check, so what follows has the shapes of such a batch."""
    (shape,) = node.inputs
    part = shape[node.whole("start", 0) : node.whole("end", len(shape))]
    return Result([(len(part),)], values=part)


def _flatten(node: Node) -> Result:
    (shape,) = node.inputs
    axis = node.whole("axis", 1)
    return Result([(math.prod(shape[:axis]), math.prod(shape[axis:]))])


def _squeeze(node: Node) -> Result:
    shape = node.inputs[0]
    axes = node.axes(position=1, rank=len(shape)) or {axis for axis, side in enumerate(shape) if side == 1}
    if any(shape[axis] != 1 for axis in axes):
        raise ValueError(f"{shape} has no side of 1 there")
    return Result([tuple(side for axis, side in enumerate(shape) if axis not in axes)])


def _unsqueeze(node: Node) -> Result:
    shape, count = list(node.inputs[0]), len(node.numbers(1) or node.ints("axes", ()))
    for axis in sorted(node.axes(position=1, rank=len(shape) + count)):
        shape.insert(axis, 1)
    return Result([tuple(shape)])


def _transpose(node: Node) -> Result:
    (shape,) = node.inputs
    order = node.ints("perm", range(len(shape))[::-1])
    if sorted(order) != list(range(len(shape))):
        raise ValueError(f"{order} is no order of its axes")
    return Result([tuple(shape[axis] for axis in order)])


def _concat(node: Node) -> Result:
    first = list(node.inputs[0])
    axis = node.whole("axis", 0)
    first[axis] = sum(shape[axis] for shape in node.inputs)
    return Result([tuple(first)], values=_joined(node))


def _joined(node: Node) -> tuple[int, ...] | None:
    """Return the whole numbers of joined lists, if one follows from shapes and the others are constants."""
    names = node.message.all("input")
    if not any(name in node.values for name in names) or not all(
        name in node.values or name in node.constants for name in names
    ):
        return None
    return tuple(number for position in range(len(names)) for number in node.numbers(position) or ())


def _split(node: Node) -> Result:
    shape, axis = list(node.inputs[0]), node.whole("axis", 0)
    outputs = len(node.message.all("output"))
    parts = node.numbers(1) or (-(-shape[axis] // outputs),) * outputs
    return Result([(*shape[: axis % len(shape)], part, *shape[axis % len(shape) + 1 :]) for part in parts])


def _slice(node: Node) -> Result:
    shape = list(node.inputs[0])
    starts, ends = node.numbers(1) or (), node.numbers(2) or ()
    axes, steps = node.numbers(3) or range(len(starts)), node.numbers(4) or (1,) * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        shape[axis] = len(range(*slice(start, end, step).indices(shape[axis])))
    return Result([tuple(shape)])


def _pad(node: Node) -> Result:
    shape = node.inputs[0]
    pads = node.numbers(1) or ()
    axes = node.numbers(3) or range(len(shape))
    sides = list(shape)
    for axis, before, after in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        sides[axis] += before + after
    return Result([tuple(sides)])


def _gather(node: Node) -> Result:
    data, index = node.inputs
    axis = onnx_head_operators.axis_of(node, len(data), default=0)
    return Result([(*data[:axis], *index, *data[axis + 1 :])])


# What our exporter writes for the archs and blocks of the core and of the first-party plugins, and what torch writes
# for the other layers of `torch.nn` that a residual block may use.
GROUPS: tuple[tuple[Callable[[Node], Result], str], ...] = (
    (_broadcast, "Add Sub Mul Div Pow Min Max Mean Sum Clip PRelu"),
    (
        _same,
        """
        Relu LeakyRelu Elu Selu Celu Gelu Mish HardSwish HardSigmoid Sigmoid Tanh Softplus Softsign ThresholdedRelu
        Softmax LogSoftmax Erf Exp Log Sqrt Abs Neg Reciprocal Identity Cast IsNaN BatchNormalization
        InstanceNormalization GroupNormalization LayerNormalization LRN QuantizeLinear DequantizeLinear""",
    ),
    (_pool, "AveragePool MaxPool"),
    (_global_pool, "GlobalAveragePool GlobalMaxPool"),
    (_reduce, "ReduceMean ReduceMax ReduceMin ReduceSum ReduceL2"),
    (_conv, "Conv"),
    (_gemm, "Gemm"),
    (_matmul, "MatMul"),
    (_reshape, "Reshape"),
    (_shape, "Shape"),
    (_flatten, "Flatten"),
    (_squeeze, "Squeeze"),
    (_unsqueeze, "Unsqueeze"),
    (_transpose, "Transpose"),
    (_concat, "Concat"),
    (_split, "Split"),
    (_slice, "Slice"),
    (_pad, "Pad"),
    (_gather, "Gather"),
)
RULES = {name: rule for rule, names in GROUPS for name in names.split()}
