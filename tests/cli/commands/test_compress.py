"""`compress` prints the report of a replaced task."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from resnetctl.compress.speed_plan import LatencyTable
from resnetctl.engine.stopwatch import Spread
from resnetctl.tasks import compress as task

Cli = Callable[..., Any]
REPORT = task.CompressReport(
    path=Path("small.safetensors"),
    target=Path("runs/a/model.safetensors"),
    data="digits",
    before=(3, 3, 3),
    after=(2, 2, 3),
    removed={"layer1.2": 0.1, "layer2.1": 0.2},
    table=LatencyTable(whole=1.2, blocks=(0.1, 0.11, 0.12)),
    speedup={"1": Spread(median=1.3, low=1.2, high=1.4, n=9)},
    params=(269_722, 200_000),
    accuracy=(SimpleNamespace(top1=0.9, count=100), SimpleNamespace(top1=0.5, count=100)),  # type: ignore[arg-type]
)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    received: list[Any] = []

    def compress(target: str | None, **options: Any) -> task.CompressReport:
        received.append((target, {key: value for key, value in options.items() if key != "settings"}))
        return REPORT

    monkeypatch.setattr(task, "compress", compress)
    return received


def test_compress_prints_what_is_gone_and_how_to_train_on(cli: Cli, calls: list[Any]) -> None:
    result = cli("compress", "a", "--speedup", "1.3", "--out", "small.safetensors")
    assert result.code == 0
    assert result.out.splitlines() == [
        "wrote            small.safetensors",
        "blocks           3, 3, 3 -> 2, 2, 3",
        "removed          layer1.2, layer2.1",
        "params           269,722 -> 200,000",
        "accuracy on val  90.0 % -> 50.0 % before training (100 images)",
        "ms a block       0.100, 0.110, 0.120 by stage; 1.200 for all (one image, one thread)",
        "batch of 1       1.30 times as fast here (1.20 to 1.40)",
        "",
        "Next",
        "  resnetctl finetune small.safetensors --data digits --teacher runs/a/model.safetensors",
    ]
    cut = task.Cut(speedup=1.3)
    assert calls == [("a", {"out": Path("small.safetensors"), "cut": cut, "data": None})]


def test_the_blocks_to_keep_are_a_list_of_numbers(cli: Cli, calls: list[Any]) -> None:
    cli("compress", "--keep-blocks", "2,2,3", "-o", "small.safetensors")
    assert calls[0][1]["cut"] == task.Cut(keep_blocks=(2, 2, 3))
    result = cli("compress", "--keep-blocks", "2,x", "-o", "small.safetensors")
    assert result.code == 2
    assert "'2,x' is not a list of numbers" in result.err
