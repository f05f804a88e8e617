"""Read an ONNX file that `export` made, distrusting it first, and run it on onnxruntime. Imports no torch and no onnx.

A file is taken only when it is one plain graph: nothing outside the file, no control flow, no foreign operator, a
card and a digest in its metadata (`onnx_graph`). onnxruntime then gets the bytes that were checked and never a path, so
external data could not resolve even if the check missed it.

Shapes: B images a batch, S pixels a side, C channels, K classes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnetctl.deploy import onnx_graph
from resnetctl.deploy.onnx_graph import INPUT, LOGITS, PROBABILITIES
from resnetctl.deploy.protobuf import Malformed
from resnetctl.errors import WeightsError, WorkFailed
from resnetctl.spec import Card, WeightsCard
from resnetctl.system.storage import open_regular

if TYPE_CHECKING:
    import onnxruntime

SILENT = "ORT_DISABLE_TELEMETRY"  # onnxruntime 1.29 and later tell Microsoft of models, on Linux too, unless it is set
CARD_KEY, GATE_KEY, DIGEST_KEY, WEIGHTS_KEY = "resnetctl.card", "resnetctl.gate", "sha256.model", "sha256.weights"
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
        return self._run([LOGITS], images)[0]

    def outputs(self, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Logits and probabilities, (B, K) each. Raises `WorkFailed` when onnxruntime does."""
        return self._run([LOGITS, PROBABILITIES], images)

    def _run(self, names: list[str], images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32)
        pixels /= np.float32(255)
        try:
            found: list[NDArray[np.float32]] = self._session.run(names, {INPUT: pixels})
        except Exception as error:  # onnxruntime's exceptions have no base of their own
            raise WorkFailed(f"onnxruntime failed: {error}") from error
        return found


def from_bytes(data: bytes, where: str, *, threads: int = 1) -> OnnxModel:
    """`check` and `start`; `where` is what errors call the bytes."""
    return start(data, check(data, where), where=where, threads=threads)


def start(data: bytes, card: OnnxCard, *, where: str, threads: int) -> OnnxModel:
    """Open bytes that `check` returned `card` for. Raises `WeightsError` when onnxruntime refuses them."""
    os.environ.setdefault(SILENT, "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only, and those are raised as well
    # else bytes 4 to 8 decide, and what was read as ONNX could be run as something else
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        raise WeightsError(f"onnxruntime refuses the model: {error}", where=where) from None
    return OnnxModel(card, session)


def read_bytes(path: Path) -> bytes:
    """The file's bytes. Raises `WeightsError`: missing, not a plain file, or larger than any network we write."""
    with open_regular(path, error=WeightsError) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            raise WeightsError(f"the file has {size:,} bytes, the limit is {MAX_BYTES:,}", where=str(path))
        return file.read(MAX_BYTES)


def check(data: bytes, where: str) -> OnnxCard:
    """Everything that must hold before a model may run. Raises `WeightsError`."""
    try:
        model = onnx_graph.model(data)
        properties = onnx_graph.properties(model)
    except Malformed as error:
        raise WeightsError(f"this is not an ONNX file: {error}", where=where) from None
    problems = list(dict.fromkeys(onnx_graph.dangers(model)))
    if problems:
        raise WeightsError("the ONNX file is refused", where=where, problems=problems)
    if CARD_KEY not in properties:
        raise WeightsError(
            "the ONNX file does not say its classes and preprocessing: it was not made by 'resnetctl export'",
            where=where,
            hint=["resnetctl export RUN --onnx", f"or add the metadata key '{CARD_KEY}' with a weights card as JSON"],
        )
    if properties.get(DIGEST_KEY, "") not in ("", onnx_graph.digest(data, model, without=DIGEST_KEY)):
        raise WeightsError(  # where there is none, somebody changed the model on purpose and took it out
            "the ONNX file was damaged or changed after its export",
            where=where,
            hint=["export or copy it again", f"a tool that changed it on purpose has to remove the key '{DIGEST_KEY}'"],
        )
    try:
        onnx_graph.check_numbers(model)
        card = _card(properties)
        onnx_graph.check_interface(model, card.weights.image, classes=len(card.weights.classes))
    except Exception as error:  # numpy and the card fail in many ways on damaged content
        raise WeightsError(f"the ONNX file is damaged: {str(error) or type(error).__name__}", where=where) from None
    return card


def _card(properties: Mapping[str, str]) -> OnnxCard:
    return OnnxCard(
        weights=WeightsCard.from_json(json.loads(properties[CARD_KEY])),
        weights_sha256=properties.get(WEIGHTS_KEY, ""),
        gate=dict(json.loads(properties.get(GATE_KEY, "{}"))),
    )
