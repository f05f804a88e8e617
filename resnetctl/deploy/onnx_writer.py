"""Write a network as one ONNX file: normalisation in the graph, card and digests in the metadata.

The bytes are a function of the weights, the card and the package versions. torch's exporter writes stack traces with
file names into every node, and names values by counters; both are replaced, so no path of this machine remains.
"""

import contextlib
import hashlib
import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from resnetctl import __version__
from resnetctl.deploy.onnx_card import DIGEST_KEY, INPUT, OPSET, VECTOR, OnnxCard, outputs_of, to_properties
from resnetctl.engine.predictors import naming_block
from resnetctl.errors import WorkFailed
from resnetctl.hints import Call, in_shell
from resnetctl.spec import ImageSpec, VectorSpec, WeightsCard
from resnetctl.wording import counted

IR_VERSION = 10  # the newest that onnxruntime 1.18 reads
PIXEL_FORMATS = {1: "Gray8", 3: "Rgb8"}
FINITE = "{}_must_be_finite"  # the name of the operator that refuses NaN and infinity: onnxruntime prints it
CHATTER = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


class Deployed(nn.Module):
    """A network with its preprocessing: float images (B, C, S, S) in 0..1 to logits and probabilities, (B, K) each.

    Probabilities are softmax(logits / temperature).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, image: ImageSpec, *, temperature: float = 1.0) -> None:
        super().__init__()
        self.model = model
        self.temperature = temperature
        self.register_buffer("mean", torch.tensor(image.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(image.std).view(1, -1, 1, 1))

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.model((pixel_values - self.mean) / self.std)
        return logits, (logits if self.temperature == 1 else logits / self.temperature).softmax(1)


class DeployedNet(nn.Module):
    """A network with a head and its preprocessing: float images (B, C, S, S) in 0..1 to the outputs of its task."""

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, image: ImageSpec) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.tensor(image.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(image.std).view(1, -1, 1, 1))

    def forward(self, pixel_values: Tensor, *numbers: Tensor) -> tuple[Tensor, ...]:
        raw = self.net((pixel_values - self.mean) / self.std, *numbers)
        decoded: tuple[Tensor, ...] = self.net.decode(raw)  # type: ignore[operator]  # a Net has it
        return decoded


class DeployedFused(nn.Module):
    """As `DeployedNet`, for a network that also reads numbers of the images: float (B, D), as they are in the data."""

    offset: Tensor
    scale: Tensor

    def __init__(self, net: nn.Module, image: ImageSpec, vector: VectorSpec) -> None:
        super().__init__()
        self.whole = DeployedNet(net, image)
        self.register_buffer("offset", torch.tensor(vector.mean))
        self.register_buffer("scale", torch.tensor(vector.scale))

    def forward(self, pixel_values: Tensor, vector: Tensor) -> tuple[Tensor, ...]:
        return self.whole(pixel_values, (vector - self.offset) * self.scale)  # type: ignore[no-any-return]


def to_bytes(model: nn.Module, card: WeightsCard, *, weights_sha256: str, gate: Mapping[str, Any]) -> bytes:
    """Return the ONNX file of `model`, which must be in eval mode on the CPU.

    Args:
        weights_sha256: digest of the tensors in the weights file of `model`.
        gate: the images of the parity check that follows, see `OnnxCard`.

    Raises:
        WorkFailed: torch cannot express the network in ONNX. The block of a plugin may use other operations.
        PluginError: the block of a plugin fails.
    """
    with naming_block(model), torch.inference_mode():  # a mistake in a plugin's block is none of ONNX
        model(*_examples(card).values())
    proto = _export(_whole(model, card).eval(), card)
    _strip(proto)
    _refuse_nan(proto.graph)
    _rename(proto.graph)
    proto.ir_version = min(proto.ir_version, IR_VERSION)
    proto.producer_name, proto.producer_version = "resnetctl", __version__
    proto.graph.name = card.arch.name
    onnx.helper.set_model_props(proto, _properties(OnnxCard(weights=card, weights_sha256=weights_sha256, gate=gate)))
    return seal(proto)


def seal(proto: onnx.ModelProto) -> bytes:
    """Write the model's digest into its metadata and return the serialised file."""
    properties = {item.key: item.value for item in proto.metadata_props if item.key != DIGEST_KEY}
    onnx.helper.set_model_props(proto, dict(sorted(properties.items())))
    digest = hashlib.sha256(proto.SerializeToString(deterministic=True)).hexdigest()
    proto.metadata_props.add(key=DIGEST_KEY, value=digest)  # last, so the digest covers all bytes before it
    data: bytes = proto.SerializeToString(deterministic=True)
    return data


def _whole(model: nn.Module, card: WeightsCard) -> nn.Module:
    """Return the network with its preprocessing."""
    if card.head is None:
        return Deployed(model, card.image, temperature=card.temperature)
    return DeployedNet(model, card.image) if card.vector is None else DeployedFused(model, card.image, card.vector)


def _export(deployed: nn.Module, card: WeightsCard) -> onnx.ModelProto:
    examples, batch = _examples(card), torch.export.Dim("batch")
    with quiet():
        try:
            program = torch.onnx.export(
                deployed,
                tuple(examples.values()),
                input_names=[*examples],
                output_names=[item.name for item in outputs_of(card)],
                dynamic_shapes=tuple({0: batch} for _ in examples),
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        except Exception as error:  # the exporter's errors share no base
            raise WorkFailed(
                f"torch cannot export this network: {_cause(error)}",
                hint="a block of a plugin may use an operation that ONNX lacks",
            ) from error
    assert program is not None
    return program.model_proto


def _examples(card: WeightsCard) -> dict[str, Tensor]:
    """Return the inputs of two images by name: pixels, and numbers if the network reads some."""
    image = card.image
    examples = {INPUT: torch.zeros(2, image.channels, image.size, image.size)}
    if card.vector is not None:
        examples[VECTOR] = torch.zeros(2, len(card.vector.columns))
    return examples


def _cause(error: BaseException) -> str:
    """Return the first line of the innermost error: the outer ones only name steps of the export."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().partition("\n")[0]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence prints, log lines and warnings of the exporter: stdout is for results, stderr for the user."""
    loggers = [logging.getLogger(name) for name in CHATTER]
    levels = [logger.level for logger in loggers]
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(action="ignore"),
    ):
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _strip(proto: onnx.ModelProto) -> None:
    """Clear every comment of the exporter: stack traces, scopes, the signature of the program."""
    for message in messages(proto):
        for name in ("doc_string", "metadata_props"):
            if name in message.DESCRIPTOR.fields_by_name:
                message.ClearField(name)


def messages(message: Any) -> Iterator[Any]:
    """Yield a protobuf message and all messages inside it, but not inside tensors."""
    yield message
    if type(message).__name__ == "TensorProto":
        return
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            for inner in [value] if hasattr(value, "ListFields") else value:
                yield from messages(inner)


def _refuse_nan(graph: onnx.GraphProto) -> None:
    """Make every input refuse NaN and infinity: they would silently become the answer.

    `x - x` is 0 or NaN. The sum of an image is a place in a list of one number, 0, which is then subtracted from `x`:
    NaN means place 1, which is outside. So no number of the network changes.
    """
    guards = []
    for item in graph.input:
        name, rank = item.name, len(item.type.tensor_type.shape.dim)
        axes, zero = f"{name}_axes", f"{name}_zero"
        graph.initializer.extend(
            onnx.numpy_helper.from_array(numbers, known)
            for numbers, known in ((np.arange(1, rank), axes), (np.zeros(1, np.float32), zero))
        )
        values = [f"{name}_{number}" for number in range(6)]
        for node in graph.node:
            node.input[:] = [values[5] if given == name else given for given in node.input]
        guards += [
            onnx.helper.make_node("Sub", [name, name], values[1:2]),
            onnx.helper.make_node("ReduceSum", [values[1], axes], values[2:3], keepdims=1),
            onnx.helper.make_node("IsNaN", values[2:3], values[3:4]),
            onnx.helper.make_node("Cast", values[3:4], values[4:5], to=onnx.TensorProto.INT64),
            onnx.helper.make_node("Gather", [zero, values[4]], values[0:1], FINITE.format(name), axis=0),
            onnx.helper.make_node("Sub", [name, values[0]], values[5:6]),
        ]
    network = [*graph.node]
    del graph.node[:]
    graph.node.extend([*guards, *network])


def _rename(graph: onnx.GraphProto) -> None:
    """Name nodes and values by operator and position, and mark the input as an image."""
    kept = {item.name for item in [*graph.input, *graph.output]}
    guards = {FINITE.format(item.name) for item in graph.input}
    names = {item.name: f"constant_{i}" for i, item in enumerate(graph.initializer) if item.name.startswith("val_")}
    for position, node in enumerate(graph.node):
        if node.name not in guards:
            node.name = f"{node.op_type}_{position}"
        for number, output in enumerate(node.output):
            if output not in kept:
                names[output] = f"{node.name}_out" + (f"_{number}" if number else "")
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for item in [*graph.initializer, *graph.value_info]:
        item.name = names.get(item.name, item.name)
    graph.input[0].type.denotation = "IMAGE"


def _properties(onnx_card: OnnxCard) -> dict[str, str]:
    """Return the metadata as text. The first keys have the names that common readers of ONNX classifiers expect."""
    card, image = onnx_card.weights, onnx_card.weights.image
    properties = {
        "task": card.task,
        "names": json.dumps({str(number): name for number, name in enumerate(card.classes)}),
        "imgsz": json.dumps([image.size, image.size]),
        "channels": str(image.channels),
        "stride": "1",
        "batch": "1",
        "description": _description(card),
        "version": __version__,
        "license": "unspecified",
        "docs": in_shell(Call("predict", ("MODEL.onnx", "IMAGE"))),
        "mean": json.dumps(image.mean),
        "std": json.dumps(image.std),
        "interpolation": image.interpolation,
        "resize": str(image.resize),
        "fit": image.fit,
        "input_range": "[0, 1]",
        "Image.ColorSpaceGamma": "SRGB",
        "Image.NominalPixelRange": "Normalized_0_1",
        "resnetctl.torch": torch.__version__,
        **to_properties(onnx_card),
    }
    if card.thresholds:
        properties["thresholds"] = json.dumps(card.thresholds)
    elif card.calibration is not None:
        properties["temperature"] = str(card.calibration.temperature)
        properties["prediction_sets"] = json.dumps(dict(card.calibration.sets))
    if card.vector is not None:
        properties[VECTOR] = json.dumps(card.vector.columns)
    if image.channels in PIXEL_FORMATS:
        properties["Image.BitmapPixelFormat"] = PIXEL_FORMATS[image.channels]
    return properties


def _description(card: WeightsCard) -> str:
    trained = f", trained on {card.trained_on['name']}" if card.trained_on.get("name") else ""
    return f"{card.arch.name} for {counted(len(card.classes), 'class')} of {card.image.size} px images{trained}"
