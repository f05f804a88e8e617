"""A run of five blocks, whose cut versions are not really exported or timed."""

import dataclasses
from pathlib import Path

import pytest
import torch
from support.trained import ARCH, card, make_run, make_store

from resnetctl import runs
from resnetctl.compress.speed_plan import LatencyTable
from resnetctl.engine.stopwatch import Spread
from resnetctl.models.resnet import ResNet, build
from resnetctl.spec import Arch
from resnetctl.tasks.compress import smaller
from resnetctl.weights.file import to_bytes

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

    def opened(_: object, net: ResNet, *, int8: bool = False) -> tuple[ResNet, int]:
        return net, (1 if int8 else 4) * sum(parameter.numel() for parameter in net.parameters())

    monkeypatch.setattr(smaller._Work, "_opened", opened)

    def timed(base: object, others: dict[str, object], *, images: object) -> dict[str, dict[int, Spread]]:
        times = {name: 5 / sum(net.arch.depths) for name, net in others.items()}  # type: ignore[attr-defined]
        return {name: {1: Spread(median=value, low=value, high=value, n=3)} for name, value in times.items()}

    table = LatencyTable(whole=5.0, blocks=(1.0, 1.0))
    monkeypatch.setattr(smaller, "speedups", timed)
    monkeypatch.setattr(smaller, "measure_table", lambda depths, images, *, export: table)
    return folder
