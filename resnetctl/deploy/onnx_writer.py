"""A network as the bytes of one ONNX file: normalisation inside, card and digests in the metadata, no trace of here.

The bytes are a function of the weights, the card and the package versions. torch's exporter writes stack traces with
file names into every node and names values after counters of its own; both are replaced.
"""

import contextlib
import hashlib
import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from resnetctl import __version__
from resnetctl.deploy.onnx_graph import INPUT, LOGITS, PROBABILITIES
from resnetctl.deploy.onnx_reader import CARD_KEY, DIGEST_KEY, GATE_KEY, WEIGHTS_KEY
from resnetctl.errors import WorkFailed
from resnetctl.models.resnet import ResNet
from resnetctl.spec import ImageSpec, WeightsCard

OPSET = 20
IR_VERSION = 10  # onnxruntime 1.18 reads it
PIXEL_FORMATS = {1: "Gray8", 3: "Rgb8"}
CHATTER = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


class Deployed(nn.Module):
    """A network with its preprocessing: float images (B, C, S, S) in 0..1 to logits and probabilities, (B, K) each."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, image: ImageSpec) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(image.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(image.std).view(1, -1, 1, 1))

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.model((pixel_values - self.mean) / self.std)
        return logits, logits.softmax(1)


def to_bytes(model: ResNet, card: WeightsCard, *, weights_sha256: str, gate: Mapping[str, Any]) -> bytes:
    """The ONNX file of `model`, which is in eval mode on the CPU.

    Args:
        weights_sha256: digest of the tensors that `model` was loaded from.
        gate: how the file is going to be checked, see `OnnxCard`.

    Raises:
        WorkFailed: torch cannot express the network in ONNX, which happens with blocks of plugins.
    """
    proto = _export(Deployed(model, card.image).eval(), card.image)
    _strip(proto)
    _rename(proto.graph)
    proto.ir_version = min(proto.ir_version, IR_VERSION)
    proto.producer_name, proto.producer_version = "resnetctl", __version__
    proto.graph.name = card.arch.name
    onnx.helper.set_model_props(proto, _properties(card, weights_sha256, gate))
    return seal(proto)


def seal(proto: onnx.ModelProto) -> bytes:
    """Write the model's digest into the metadata and serialise."""
    properties = {item.key: item.value for item in proto.metadata_props if item.key != DIGEST_KEY}
    onnx.helper.set_model_props(proto, dict(sorted(properties.items())))
    digest = hashlib.sha256(proto.SerializeToString(deterministic=True)).hexdigest()
    proto.metadata_props.add(key=DIGEST_KEY, value=digest)  # the last entry: without it the bytes are those above
    data: bytes = proto.SerializeToString(deterministic=True)
    return data


def _export(deployed: Deployed, image: ImageSpec) -> onnx.ModelProto:
    example = torch.zeros(2, image.channels, image.size, image.size)
    with _quiet():
        try:
            program = torch.onnx.export(
                deployed,
                (example,),
                input_names=[INPUT],
                output_names=[LOGITS, PROBABILITIES],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
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


def _cause(error: BaseException) -> str:
    """The first line of the error that began it: those around it say only which step of the export they are."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().partition("\n")[0]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No prints, log lines or warnings of the exporter: stdout belongs to results, stderr to the user."""
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
    """Clear every remark: stack traces, scopes, the signature of the exported program."""
    for message in messages(proto):
        for name in ("doc_string", "metadata_props"):
            if name in message.DESCRIPTOR.fields_by_name:
                message.ClearField(name)


def messages(message: Any) -> Iterator[Any]:
    """A protobuf message and all messages inside it; tensors are not entered."""
    yield message
    if type(message).__name__ == "TensorProto":
        return
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            for inner in [value] if hasattr(value, "ListFields") else value:
                yield from messages(inner)


def _rename(graph: onnx.GraphProto) -> None:
    """Name nodes and values after operator and place, and say what the input is."""
    kept = {item.name for item in [*graph.input, *graph.output]}
    names = {item.name: f"constant_{i}" for i, item in enumerate(graph.initializer) if item.name.startswith("val_")}
    for place, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{place}"
        for number, output in enumerate(node.output):
            if output not in kept:
                names[output] = f"{node.name}_out" + (f"_{number}" if number else "")
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for item in [*graph.initializer, *graph.value_info]:
        item.name = names.get(item.name, item.name)
    graph.input[0].type.denotation = "IMAGE"


def _properties(card: WeightsCard, weights_sha256: str, gate: Mapping[str, Any]) -> dict[str, str]:
    """Flat text as ONNX wants it; the first group under the names that common readers of ONNX classifiers know."""
    image = card.image
    properties = {
        "task": "classify",
        "names": json.dumps({str(number): name for number, name in enumerate(card.classes)}),
        "imgsz": json.dumps([image.size, image.size]),
        "channels": str(image.channels),
        "stride": "1",
        "batch": "1",
        "description": _description(card),
        "version": __version__,
        "license": "unspecified",
        "docs": "resnetctl predict MODEL.onnx IMAGE",
        "mean": json.dumps(image.mean),
        "std": json.dumps(image.std),
        "interpolation": image.interpolation,
        "resize": str(image.resize),
        "fit": image.fit,
        "input_range": "[0, 1]",
        "Image.ColorSpaceGamma": "SRGB",
        "Image.NominalPixelRange": "Normalized_0_1",
        CARD_KEY: json.dumps(card.to_json(), sort_keys=True),
        GATE_KEY: json.dumps(dict(gate), sort_keys=True),
        "resnetctl.torch": torch.__version__,
        WEIGHTS_KEY: weights_sha256,
    }
    if image.channels in PIXEL_FORMATS:
        properties["Image.BitmapPixelFormat"] = PIXEL_FORMATS[image.channels]
    return properties


def _description(card: WeightsCard) -> str:
    trained = f", trained on {card.trained_on['name']}" if card.trained_on.get("name") else ""
    return f"{card.arch.name} for {len(card.classes)} classes of {card.image.size} px images{trained}"
