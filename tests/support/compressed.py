"""A run of five blocks, whose cut versions are not really exported or timed."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.trained import ARCH, card, make_run, make_store

from resnetctl import runs
from resnetctl.compress.cost import params
from resnetctl.compress.int8 import Limits
from resnetctl.compress.latency import Latency
from resnetctl.compress.speed_plan import LatencyTable
from resnetctl.engine.predictors import torch_predictor
from resnetctl.engine.stopwatch import Spread
from resnetctl.models.resnet import ResNet, build
from resnetctl.spec import Arch
from resnetctl.tasks.compress import goals, steps, student, variants
from resnetctl.tasks.compress.attempts import File
from resnetctl.tasks.compress.clock import Took
from resnetctl.tasks.compress.judge import Judge
from resnetctl.weights.file import Header, load_network, to_bytes

DEEP = dataclasses.replace(ARCH, depths=(3, 2))
WIDE = dataclasses.replace(ARCH, depths=(2, 2), widths=(32, 64))
OUT = Path("small.safetensors")


def make_deep_run(monkeypatch: pytest.MonkeyPatch, *, arch: Arch = DEEP) -> runs.RunDir:
    """Make a run of five blocks; files are not really exported or timed: the speed-up is 5 / blocks."""
    store = make_store()
    torch.manual_seed(2)
    net = build(arch, classes=3, image=card().image).eval()
    folder = make_run(card(store, arch=ARCH))
    folder.save_weights(to_bytes(net.state_dict(), card(store, arch=arch, metrics={"epoch": 3})))

    def sized(net: ResNet, *, calibrate_on: object = None) -> tuple[ResNet, int]:
        return net, (4 if calibrate_on is None else 1) * params(net)

    def opened(made: variants.Variants, shape: variants.Shape, *, int8: bool = False) -> tuple[ResNet, int]:
        return sized(made.net(shape)[0], calibrate_on=True if int8 else None)

    monkeypatch.setattr(variants.Variants, "_opened", opened)

    def timed(
        base: object, others: dict[str, object], *, images: object, sizes: Sequence[int] = (1,)
    ) -> dict[str, dict[int, Spread]]:
        times = {name: 5 / sum(net.arch.depths) for name, net in others.items()}  # type: ignore[attr-defined]
        spreads = {name: Spread(median=value, low=value, high=value, n=3) for name, value in times.items()}
        return {name: dict.fromkeys(sizes, value) for name, value in spreads.items()}

    table = LatencyTable(whole=5.0, blocks=(1.0, 1.0))
    monkeypatch.setattr(variants, "speedups", timed)
    monkeypatch.setattr(student, "speedups", timed)
    monkeypatch.setattr(student, "exported", lambda net, card: net)
    monkeypatch.setattr(student, "opened", sized)
    monkeypatch.setattr(
        student,
        "milliseconds",
        lambda models, images: {name: float(sum(net.arch.depths)) for name, net in models.items()},
    )
    monkeypatch.setattr(variants, "measure_table", lambda depths, images, *, export: table)
    return folder


TIMES = {1: Latency(p50=1.0, p95=2.0, n=3), 64: Latency(p50=30.0, p95=40.0, n=3)}


def leave_out_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a goal export, quantise and time nothing."""

    def file(judge: Judge, header: Header, *, name: str) -> File:
        net, card = load_network(header), header.card
        accuracy, is_right = judge.answers(torch_predictor(net, card.image, device=torch.device("cpu")))
        data, took = b"x" * 4 * params(net), Took(export=0.0, read=0.0, predict=1e-9)
        return File(name=name, net=net, card=card, data=data, accuracy=accuracy, is_right=is_right, took=took)

    def quantised(judge: Judge, header: Header, *, source: File, name: str, limits: Limits) -> File:
        return dataclasses.replace(source, name=name, data=source.data[: len(source.data) // 4], is_int8=True)

    always = SimpleNamespace(logits=lambda images: np.eye(3, dtype=np.float32)[[0] * len(images)])
    monkeypatch.setattr(steps, "float_file", file)
    monkeypatch.setattr(goals, "int8_file", quantised)
    monkeypatch.setattr(goals, "from_bytes", lambda data, where: always)
    monkeypatch.setattr(goals, "latencies", lambda models, images: dict.fromkeys(models, TIMES))
