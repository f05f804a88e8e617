"""`bench` passes its options to a replaced task and prints its report."""

from collections.abc import Callable
from typing import Any

import pytest
from support.reports import about, report

from resnetctl.config.draft import Draft
from resnetctl.config.schema import BenchConfig
from resnetctl.facts import Notice
from resnetctl.tasks.bench import bench as task

Cli = Callable[..., Any]


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what the replaced task received. Its report has one piece of advice."""
    received: dict[str, Any] = {}

    def bench(draft: Draft[BenchConfig], settings: object, *, compiled: bool) -> Any:
        received.update(values=draft.asked.values, compiled=compiled)
        yield Notice("timing")
        return report(onnx_ratio={"batch 128": about(2.0)}, left_out=("torch.compile: no compiler",))

    monkeypatch.setattr(task, "bench", bench)
    return received


def test_bench_takes_the_flags_of_train_that_affect_speed(cli: Cli, received: dict[str, Any]) -> None:
    assert cli("bench", "--arch", "resnet56", "--data", "digits", "--set", "ema_decay=0.9", "--compile").code == 0
    assert received == {
        "values": {"model.arch": "resnet56", "data": "digits", "ema_decay": 0.9},
        "compiled": True,
    }
    assert cli("bench", "--epochs", "3").code == 2


def test_mistakes_are_reported_first(cli: Cli, received: dict[str, Any]) -> None:
    assert cli("bench", "--set", "no.such.key=1").code == 2
    assert received == {}


def test_figures_come_with_spread_and_count(cli: Cli, received: dict[str, Any]) -> None:
    result = cli("bench")
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0] == "what\tmedian\tquartiles\tn\tnote"
    first = "training\t1,000 images/s\t900-1,100\t7\tresnet20 on digits, 8 px, batch 64, cpu (1 thread)"
    assert lines[1] == first
    assert "\t42 %\t38-46\t7\tof SGEMM, at 15.1 MFLOP an image" in lines
    assert "  with 2 threads\t80 images/s\t72-88\t7\t0.80x" in lines
    assert "the whole run\t1 min 38 s\t\t\t315 steps" in lines
    assert "memory copy\t14.2 GB/s\t12.8-15.7\t7\tread and written" in lines
    assert "prediction, batch 128\t3,100 images/s\t2,790-3,410\t7\tonnxruntime, 2.00x" in lines
    assert "memory\t87.0 MB\t\t\tmore while training" in lines
    assert "backward\t60.00 ms\t60.0 %" in lines
    assert lines[-1].startswith("onnxruntime predicts 2.00x")
    assert result.err == "timing\nleft out: torch.compile: no compiler\n"


def test_the_json_document_has_the_advice(cli: Cli, received: dict[str, Any]) -> None:
    document = cli("bench", "--json").json()
    assert document["schema"] == "resnetctl.bench/1"
    assert document["advice"][0].startswith("onnxruntime predicts 2.00x")


def test_without_parts_there_is_no_table_of_parts(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def bench(draft: Draft[BenchConfig], settings: object, *, compiled: bool) -> Any:
        yield Notice("timing")
        return report(parts={})

    monkeypatch.setattr(task, "bench", bench)
    assert "part of a step" not in cli("bench").out
