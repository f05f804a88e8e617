"""The ONNX files of a network of `compress`: exported, compared with torch, and measured on val."""

from __future__ import annotations

import time
from dataclasses import replace

import torch

from resnetctl.compress import calibration
from resnetctl.compress.int8 import Limits, quantise
from resnetctl.deploy.onnx_card import OnnxCard, to_properties
from resnetctl.deploy.onnx_session import from_bytes
from resnetctl.deploy.onnx_writer import to_bytes as to_onnx
from resnetctl.deploy.parity import BATCHES, compare_batches, in_batches
from resnetctl.engine.metrics import Images, Logits, Predictor
from resnetctl.engine.predictors import torch_predictor
from resnetctl.errors import CheckFailed
from resnetctl.system.signals import stop_later
from resnetctl.tasks.compress.attempts import File
from resnetctl.tasks.compress.clock import Took
from resnetctl.tasks.compress.judge import Judge
from resnetctl.tasks.compress.report import INT8
from resnetctl.tasks.compress.variants import CALIBRATE
from resnetctl.weights.file import Header, load_network


def float_file(judge: Judge, header: Header, *, name: str) -> File:
    """Return the float32 file of a network, compared with torch on images of val. Raises `CheckFailed`."""
    began = time.monotonic()
    net, card = load_network(header), header.card
    pool = judge.unseen()[: sum(BATCHES)]
    about = {"kind": "real", "source": f"{judge.data}/val", "images": len(pool)}
    with stop_later():
        data = to_onnx(net, card, weights_sha256=header.sha256, gate=about)
    model = from_bytes(data, "the exported model")
    reference = torch_predictor(net, card.image, device=torch.device("cpu"))
    parity = compare_batches(reference, model.outputs, batches=in_batches(pool), temperature=card.temperature)
    if parity.problems:
        raise CheckFailed("onnxruntime does not agree with torch", where=str(header.path), problems=parity.problems)
    exported, predict = time.monotonic(), Timed(model.logits)
    accuracy, is_right = judge.answers(predict)
    passed = time.monotonic() - exported
    took = Took(
        export=exported - began,
        read=(passed - predict.seconds) / accuracy.count,
        predict=predict.seconds / accuracy.count,
    )
    return File(name=name, net=net, card=card, data=data, accuracy=accuracy, is_right=is_right, took=took)


def int8_file(judge: Judge, header: Header, *, source: File, name: str, limits: Limits) -> File:
    """Return the int8 file of a float32 one. Raises `CheckFailed` when it is too inaccurate or slower."""
    card = header.card
    images = calibration.choose(judge.train, card.image, count=min(CALIBRATE, len(judge.train)))
    ranges, report = quantise(source.data, images, val=judge.batches(), limits=limits)
    about = {"kind": "real", "source": f"{judge.data}/val", "images": len(judge.unseen()[: sum(BATCHES)])}
    gate = {**about, INT8: {**report.recorded(), "data": judge.data}}
    properties = to_properties(OnnxCard(weights=card, weights_sha256=header.sha256, gate=gate))
    with stop_later():
        data = ranges.quantised(floats=report.float_layers, metadata=properties)
    accuracy, is_right = judge.answers(from_bytes(data, "the int8 file").logits)
    return replace(
        source, name=name, data=data, accuracy=accuracy, is_right=is_right, float_layers=report.float_layers,
        is_int8=True,
    )  # fmt: skip


class Timed:
    """A predictor that adds up the seconds it takes."""

    def __init__(self, predict: Predictor) -> None:
        self._predict = predict
        self.seconds = 0.0

    def __call__(self, images: Images) -> Logits:
        began = time.perf_counter()
        logits = self._predict(images)
        self.seconds += time.perf_counter() - began
        return logits
