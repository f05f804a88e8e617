"""The exporter `openvino`: OpenVINO's intermediate representation, `model.xml` and `model.bin`, in float32.

Both inputs work: prepared images, and pictures as they are. Names of inputs and outputs are those of the ONNX file.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetctl.errors import InputError
from resnetctl.exporting import Bundle, Predict

XML, BIN = "model.xml", "model.bin"
FLOAT_INPUT, LOGITS = "pixel_values", "logits"  # names in the ONNX file
DEVICE = "CPU"
# A processor with bfloat16 would use it otherwise, and differ from torch in the third digit.
EXACT = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}


class OpenVino:
    """The exporter `openvino`."""

    name = "openvino"
    summary = "OpenVINO's model.xml and model.bin, for Intel processors"

    def write(self, bundle: Bundle, folder: Path) -> Sequence[Path]:
        """Write the two files. Raises `InputError` without the package openvino."""
        runtime = _runtime()
        model = runtime.Core().read_model(bundle.onnx)
        _name_operators(model)
        runtime.save_model(model, folder / XML, compress_to_fp16=False)
        return [folder / XML, folder / BIN]

    def open(self, folder: Path) -> Predict:
        """Return the predictor of the two files. Raises `InputError` without the package openvino."""
        runtime = _runtime()
        compiled = runtime.Core().compile_model(folder / XML, DEVICE, EXACT)
        (given,) = compiled.inputs
        is_float = FLOAT_INPUT in given.names

        def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
            outputs = compiled({given: _scaled(images) if is_float else images})
            return np.array(outputs[LOGITS], np.float32)

        return predict


def _runtime() -> Any:
    try:
        return import_module("openvino")
    except ImportError as error:
        raise InputError(f"the package openvino cannot be used: {error}", hint="pip install openvino") from error


def _name_operators(model: Any) -> None:
    """Name the operators by their place. Names without one are numbered by the process, so two exports would differ."""
    model.set_friendly_name("model")
    for number, operator in enumerate(model.get_ordered_ops()):
        operator.set_friendly_name(f"{operator.get_type_name()}_{number}")


def _scaled(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return images (B, S, S, C) uint8 as (B, C, S, S) float32 in 0..1."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32) / np.float32(255)


openvino = OpenVino()
