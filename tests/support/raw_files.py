"""A small raw file, and its preprocessing alone on onnxruntime, for the tests of the contract `raw/1`."""

from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from support.onnx_files import small_model
from support.trained import IMAGE, card

from resnetctl.deploy.raw.contract import preprocessing
from resnetctl.deploy.raw.writer import SIDES, protos, with_preprocessing
from resnetctl.spec import ImageSpec


def raw_file(image: ImageSpec = IMAGE) -> bytes:
    """Return a linear classifier of 8x8 grey images with the preprocessing of `image`, built without torch."""
    return with_preprocessing(small_model(card(image=image)).SerializeToString(), image)


def preprocess(image: ImageSpec, *, threads: int = 1) -> Any:
    """Return a function from uint8 (B, H, W, C) to float32 (B, c, S, S), run by onnxruntime."""
    nodes, constants = protos(preprocessing(image))
    inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, SIDES)]
    sides = ["batch", image.channels, image.size, image.size]
    outputs = [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, sides)]
    graph = helper.make_graph(nodes, "preprocessing", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda pictures: session.run(None, {"image": np.ascontiguousarray(pictures)})[0]
