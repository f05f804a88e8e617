"""Read an ONNX file that `export` made, distrusting it first, and run it on onnxruntime. Imports no torch.

A file is taken only when it is one plain graph: nothing outside the file, no control flow, no foreign operator, a
card and a digest in its metadata. onnxruntime then gets the bytes that were checked and never a path, so external
data could not resolve even if the check missed it.

Shapes: B images a batch, S pixels a side, C channels, K classes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnetctl.errors import WeightsError, WorkFailed
from resnetctl.spec import Card, WeightsCard
from resnetctl.weights.layout import open_regular

if TYPE_CHECKING:
    import onnx
    import onnxruntime

INPUT, LOGITS, PROBABILITIES = "pixel_values", "logits", "probabilities"
CARD_KEY, GATE_KEY, DIGEST_KEY, WEIGHTS_KEY = "resnetctl.card", "resnetctl.gate", "sha256.model", "sha256.weights"
DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")  # what onnxruntime has by itself
MAX_BYTES = 1 << 30  # ResNet-152 takes 0.24 GB; a protobuf ends at 2 GB


@dataclass(frozen=True, kw_only=True)
class OnnxCard(Card):
    """What an exported file says of itself.

    Args:
        weights: the card of the weights it was made from: arch, classes, preprocessing, provenance.
        weights_sha256: digest of their tensors.
        gate: on which images onnxruntime was compared with torch, e.g. `{"kind": "real", "images": 74, ...}`.
    """

    weights: WeightsCard
    weights_sha256: str
    gate: Mapping[str, Any]


class OnnxModel:
    """An exported network on onnxruntime's CPU provider."""

    def __init__(self, card: OnnxCard, session: onnxruntime.InferenceSession) -> None:
        self.card = card
        self._session = session

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, S, S, C) uint8 to (B, K) float32: a predictor for `engine.metrics.measure`."""
        return self.outputs(images)[0]

    def outputs(self, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Logits and probabilities, (B, K) each. Raises `WorkFailed` when onnxruntime does."""
        pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32) / np.float32(255)
        try:
            found: list[NDArray[np.float32]] = self._session.run([LOGITS, PROBABILITIES], {INPUT: pixels})
        except Exception as error:  # onnxruntime's exceptions have no base of their own
            raise WorkFailed(f"onnxruntime failed: {error}") from error
        return found


def from_bytes(data: bytes, where: str, *, threads: int = 1) -> OnnxModel:
    """`check` and `start`; `where` is what errors call the bytes."""
    return start(data, check(data, where), where=where, threads=threads)


def start(data: bytes, card: OnnxCard, *, where: str, threads: int) -> OnnxModel:
    """Open bytes that `check` returned `card` for. Raises `WeightsError` when onnxruntime refuses them."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only, and those are raised as well
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        raise WeightsError(f"onnxruntime refuses the model: {error}", where=where) from None
    return OnnxModel(card, session)


def read_bytes(path: Path) -> bytes:
    """The file's bytes. Raises `WeightsError`: missing, not a plain file, or larger than any network we write."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            raise WeightsError(f"the file has {size:,} bytes, the limit is {MAX_BYTES:,}", where=str(path))
        return file.read(MAX_BYTES)


def check(data: bytes, where: str) -> OnnxCard:
    """Everything that must hold before a model may run. Raises `WeightsError`."""
    import onnx

    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # mutated files raised five unrelated types here
        raise WeightsError(f"this is not an ONNX file: {type(error).__name__}", where=where) from None
    problems = list(dict.fromkeys(_dangers(model)))
    if problems:
        raise WeightsError("the ONNX file is refused", where=where, problems=problems)
    properties = {item.key: item.value for item in model.metadata_props}
    if CARD_KEY not in properties:
        raise WeightsError(
            "the ONNX file does not say its classes and preprocessing: it was not made by 'resnetctl export'",
            where=where,
            hint=["resnetctl export RUN --onnx", f"or add the metadata key '{CARD_KEY}' with a weights card as JSON"],
        )
    _check_digest(model, properties, where)
    try:
        onnx.checker.check_model(model)
        _check_numbers(model)
        card = _card(properties)
        _check_interface(model, card.weights)
    except Exception as error:  # the checker, numpy and the card fail in many ways on damaged content
        raise WeightsError(f"the ONNX file is damaged: {str(error) or type(error).__name__}", where=where) from None
    return card


def model_digest(model: onnx.ModelProto) -> str:
    """SHA-256 over all but itself: a flipped bit in a weight or a class name is invisible to every ONNX tool."""
    bare = type(model)()
    bare.CopyFrom(model)
    kept = [item for item in model.metadata_props if item.key != DIGEST_KEY]
    del bare.metadata_props[:]
    bare.metadata_props.extend(kept)
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()


def messages(message: Any) -> Iterator[Any]:
    """A protobuf message and all messages inside it; tensors are not entered."""
    yield message
    if type(message).__name__ == "TensorProto":
        return
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            for inner in [value] if hasattr(value, "ListFields") else value:
                yield from messages(inner)


def _dangers(model: onnx.ModelProto) -> Iterator[str]:
    import onnx

    for message in messages(model):
        kind = type(message).__name__
        if kind == "TensorProto" and (message.external_data or message.data_location == onnx.TensorProto.EXTERNAL):
            yield "external data: its weights lie in another file"
        elif kind in ("OperatorSetIdProto", "NodeProto") and message.domain not in DOMAINS:
            yield f"operators of the domain '{message.domain}'"
        elif kind == "FunctionProto":
            yield "functions of its own"
        elif kind == "AttributeProto" and (message.HasField("g") or message.graphs):
            yield "control flow: loops and branches have no place in a residual network"
        elif kind == "TrainingInfoProto":
            yield "training information"


def _check_digest(model: onnx.ModelProto, properties: Mapping[str, str], where: str) -> None:
    """Only where there is a digest: whoever changes a model on purpose takes the key out."""
    if properties.get(DIGEST_KEY, "") not in ("", model_digest(model)):
        raise WeightsError(
            "the ONNX file was damaged or changed after its export",
            where=where,
            hint=["export or copy it again", f"a tool that changed it on purpose has to remove the key '{DIGEST_KEY}'"],
        )


def _check_numbers(model: onnx.ModelProto) -> None:
    from onnx.numpy_helper import to_array

    for message in messages(model):
        if type(message).__name__ == "TensorProto":
            values = to_array(message)
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise ValueError(f"'{message.name}' holds NaN or infinity")


def _card(properties: Mapping[str, str]) -> OnnxCard:
    return OnnxCard(
        weights=WeightsCard.from_json(json.loads(properties[CARD_KEY])),
        weights_sha256=properties.get(WEIGHTS_KEY, ""),
        gate=dict(json.loads(properties.get(GATE_KEY, "{}"))),
    )


def _check_interface(model: onnx.ModelProto, card: WeightsCard) -> None:
    import onnx

    constants = {item.name for item in model.graph.initializer}
    inputs = [item for item in model.graph.input if item.name not in constants]
    image = card.image
    wanted = {INPUT: [image.channels, image.size, image.size], LOGITS: [len(card.classes)]}
    wanted[PROBABILITIES] = wanted[LOGITS]
    if [item.name for item in inputs] != [INPUT] or [item.name for item in model.graph.output] != list(wanted)[1:]:
        raise ValueError(f"its input must be '{INPUT}', its outputs '{LOGITS}' and '{PROBABILITIES}'")
    for item in [*inputs, *model.graph.output]:
        tensor = item.type.tensor_type
        sides = [dimension.dim_value for dimension in tensor.shape.dim][1:]
        if tensor.elem_type != onnx.TensorProto.FLOAT or sides != wanted[item.name]:
            raise ValueError(f"'{item.name}' is not float32 of (batch, {', '.join(map(str, wanted[item.name]))})")
