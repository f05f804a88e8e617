"""Run an exported ONNX file with onnxruntime. Imports no torch and no onnx.

onnxruntime gets the bytes that `onnx_checks` accepted, never a path. So external data could not be found even if the
check missed it.

Shapes: B images a batch, S pixels a side, C channels, K classes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnetctl.deploy import onnx_features
from resnetctl.deploy.onnx_card import IMAGE, INPUT, LOGITS, PROBABILITIES, VECTOR, OnnxCard, outputs_of
from resnetctl.deploy.onnx_checks import check
from resnetctl.errors import DataError, WeightsError, WorkFailed
from resnetctl.system.plain_files import open_regular

if TYPE_CHECKING:
    import onnxruntime

NO_TELEMETRY = "ORT_DISABLE_TELEMETRY"  # unless it is set, onnxruntime 1.29 and later reports models to Microsoft
MAX_BYTES = 1 << 30  # ResNet-152 takes 0.24 GB; protobuf allows 2 GB


class OnnxModel:
    """An exported network on onnxruntime's CPU provider.

    `features` names the output that `read` returns; None where no card says what features are familiar.
    """

    def __init__(self, card: OnnxCard, session: onnxruntime.InferenceSession, *, features: str | None = None) -> None:
        self.card = card
        self.features = features
        self._session = session

    @property
    def width(self) -> int:
        """The number of features; 0 if they are not (B, D)."""
        (shape,) = (item.shape for item in self._session.get_outputs() if item.name == self.features)
        return shape[1] if len(shape) == 2 and isinstance(shape[1], int) else 0

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return logits (B, K) for images (B, S, S, C) uint8, or (B, H, W, C) if the file takes pictures as they are.

        The method is a `Predictor`.
        """
        return self._run([LOGITS], images)[0]

    def outputs(self, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Return logits and probabilities, (B, K) each. Raises `WorkFailed` when onnxruntime fails."""
        return self._run([LOGITS, PROBABILITIES], images)

    def read(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return logits (B, K) and features (B, D). Raises `WorkFailed` when onnxruntime fails."""
        logits, features = self._run([LOGITS, str(self.features)], images)
        return logits, features

    def answer(self, images: NDArray[np.uint8], *numbers: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
        """Return the outputs of the network's task for images (B, S, S, C) uint8.

        Args:
            numbers: (B, D), for a network that reads them.

        Raises `WorkFailed` as `outputs`.
        """
        names = [item.name for item in outputs_of(self.card.weights)]
        return tuple(self._run(names, images, *numbers))

    def _run(
        self, names: list[str], images: NDArray[np.uint8], *numbers: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        self._require(images)
        given: dict[str, NDArray[Any]]
        given = {IMAGE: images} if self.card.input == "raw" else {INPUT: _scaled(images)}
        given |= dict(zip((VECTOR,), numbers, strict=False))
        try:
            outputs: list[NDArray[np.float32]] = self._session.run(names, given)
        except Exception as error:  # onnxruntime's exceptions share no base
            raise WorkFailed(f"onnxruntime failed: {error}") from error
        return outputs

    def _require(self, images: NDArray[Any]) -> None:
        """Raise `DataError` for other images than the file takes; NaN in floats would become NaN in the answer."""
        image, is_raw = self.card.weights.image, self.card.input == "raw"
        shape = ("H", "W", "C") if is_raw else (image.size, image.size, image.channels)
        if images.dtype != np.uint8 or images.ndim != 4 or not (is_raw or images.shape[1:] == shape):
            wanted = f"uint8 (B, {', '.join(map(str, shape))})"
            raise DataError(f"images are {wanted}, not {images.dtype} {images.shape}")


def from_bytes(data: bytes, where: str, *, threads: int = 1) -> OnnxModel:
    """Check the bytes of an ONNX file and open them; `where` is the file's name in errors. Raises `WeightsError`."""
    return start(data, check(data, where), where=where, threads=threads)


def start(data: bytes, card: OnnxCard, *, where: str, threads: int) -> OnnxModel:
    """Open bytes for which `check` returned `card`. Raises `WeightsError` when onnxruntime refuses them."""
    features = onnx_features.find(data) if _knows(card) else None
    whole = data + onnx_features.as_output(features) if features else data
    return OnnxModel(card, session(whole, where, threads=threads), features=features)


def _knows(card: OnnxCard) -> bool:
    """Return whether the card says what features are familiar."""
    known = card.weights.calibration
    return card.weights.head is None and known is not None and known.familiar is not None


def session(data: bytes, where: str, *, threads: int = 1) -> onnxruntime.InferenceSession:
    """Return a session of onnxruntime for bytes that may run. Raises `WeightsError` when it refuses them."""
    os.environ.setdefault(NO_TELEMETRY, "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # nothing but crashes: it raises its errors too, and would print names of the file
    # Threads that wait for work would spin, and take the cores from the processes that decode pictures.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # By default bytes 4 to 8 choose the format, so bytes that were checked as ONNX could run as something else.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base
        raise WeightsError(f"onnxruntime refuses the model: {error}", where=where) from None


def _scaled(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return images (B, S, S, C) uint8 as (B, C, S, S) float32 in 0..1."""
    pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32)
    pixels /= np.float32(255)
    return pixels


def read_bytes(path: Path) -> bytes:
    """Return the file's bytes. Raises `WeightsError` when it is missing, not a plain file, or over 1 GiB."""
    with open_regular(path, error=WeightsError) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            raise WeightsError(f"the file has {size:,} bytes, the limit is {MAX_BYTES:,}", where=str(path))
        return file.read(MAX_BYTES)
