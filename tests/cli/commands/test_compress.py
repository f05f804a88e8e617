"""`compress` prints the report of a replaced task."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from resnetctl.compress.latency import Latency
from resnetctl.compress.speed_plan import LatencyTable
from resnetctl.engine.stopwatch import Spread
from resnetctl.tasks import compress as task
from resnetctl.tasks.compress.report import Accuracy, Candidate, Choice, CutFacts, FileFacts, StageFacts, StudentFacts

Cli = Callable[..., Any]
REPORT = task.CompressReport(
    path=Path("small.safetensors"),
    target=Path("runs/a/model.safetensors"),
    data="digits",
    seconds=12.0,
    cut=CutFacts(
        before=(3, 3, 3),
        after=(2, 2, 3),
        removed={"layer1.2": 0.1, "layer2.1": 0.2},
        table=LatencyTable(whole=1.2, blocks=(0.1, 0.11, 0.12)),
        speedup={"1": Spread(median=1.3, low=1.2, high=1.4, n=9)},
        params=(269_722, 200_000),
        accuracy=tuple(Accuracy(top1=top1, interval=(0.0, 1.0), count=100) for top1 in (0.9, 0.5)),  # type: ignore[arg-type]
    ),
)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    received: list[Any] = []

    def compress(target: str | None, **options: Any) -> task.CompressReport:
        received.append((target, {key: value for key, value in options.items() if key != "settings"}))
        return REPORT

    def into_run(order: task.Order, *_: Any, name: str, trainer: Any) -> Iterator[Any]:
        received.append((order, name))
        yield from ()
        trained = Accuracy(top1=0.88, interval=(0.8, 0.9), count=100)
        return dataclasses.replace(REPORT, run=Path("runs/small"), trained=trained)

    monkeypatch.setattr(task, "compress", compress)
    monkeypatch.setattr(task, "into_run", into_run)
    return received


def test_compress_prints_what_is_gone_and_how_to_train_on(cli: Cli, calls: list[Any]) -> None:
    result = cli("compress", "a", "--speedup", "1.3", "--out", "small.safetensors")
    assert result.code == 0
    assert result.out.splitlines() == [
        "from             runs/a/model.safetensors",
        "wrote            small.safetensors",
        "blocks           3, 3, 3 -> 2, 2, 3",
        "removed          layer1.2, layer2.1",
        "params           269,722 -> 200,000",
        "accuracy on val  90.0 % -> 50.0 % before training (100 images)",
        "ms a block       0.100, 0.110, 0.120 by stage; 1.200 for all (one image, one thread)",
        "batch of 1       1.30 times as fast here (1.20 to 1.40)",
        "time             12.0 s",
        "",
        "Next",
        "  resnetctl finetune small.safetensors --data digits --teacher runs/a/model.safetensors --lr 0.004",
    ]
    cut = task.Cut(speedup=1.3)
    assert calls == [("a", {"out": Path("small.safetensors"), "cut": cut, "data": None})]


@pytest.mark.parametrize(("top1", "line"), [(0.88, "export"), (0.70, "finetune")])
def test_a_network_that_lost_much_is_to_be_trained_on(
    cli: Cli, calls: list[Any], monkeypatch: pytest.MonkeyPatch, top1: float, line: str
) -> None:
    def into_run(*_: object, **__: object) -> Iterator[object]:
        yield from ()
        return dataclasses.replace(
            REPORT, run=Path("runs/small"), trained=Accuracy(top1=top1, interval=(0.6, 0.9), count=100)
        )

    monkeypatch.setattr(task, "into_run", into_run)
    result = cli("compress", "a", "--speedup", "1.3", "--finetune", "1epochs", "--name", "small")
    assert result.out.splitlines()[-1].startswith(f"  resnetctl {line} runs/small")
    assert ("points of val are lost" in result.err) == (line == "finetune")


def test_the_blocks_to_keep_are_a_list_of_numbers(cli: Cli, calls: list[Any]) -> None:
    cli("compress", "--keep-blocks", "2,2,3", "-o", "small.safetensors")
    assert calls[0][1]["cut"] == task.Cut(keep_blocks=(2, 2, 3))
    result = cli("compress", "--keep-blocks", "2,x", "-o", "small.safetensors")
    assert result.code == 2
    assert "'2,x' is not a list of numbers" in result.err


def test_a_run_is_made_with_a_training_and_its_keys(cli: Cli, calls: list[Any]) -> None:
    result = cli("compress", "a", "--keep-blocks", "2,2,3", "--finetune", "5epochs", "--set", "lr=0.01", "-n", "small")
    assert result.code == 0
    order = task.Order(target="a", keep_blocks=(2, 2, 3), finetune="5epochs", set={"lr": 0.01})
    assert calls == [(order, "small")]
    lines = result.out.splitlines()
    assert lines[1] == "wrote            runs/small"
    assert lines[5] == "accuracy on val  90.0 % -> 50.0 % before training -> 88.0 % after (100 images)"
    assert lines[-1] == "  resnetctl export runs/small --onnx --int8"


def test_a_run_goes_on_by_its_name_alone(cli: Cli, calls: list[Any]) -> None:
    cli("compress", "--name", "small")
    assert calls == [(task.Order(), "small")]


def test_a_file_and_a_run_are_not_written_together(cli: Cli, calls: list[Any]) -> None:
    result = cli("compress", "--speedup", "2", "-o", "small.safetensors", "--finetune", "5epochs")
    assert (result.code, calls) == (2, [])
    assert "finetune makes a run" in result.err


def test_narrower_layers_are_counted_by_their_widths(
    cli: Cli, calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    widths = {"layer1.0.conv1": (32, 16), "layer1.1.conv1": (32, 16), "layer2.0.conv1": (64, 32)}
    cut = dataclasses.replace(REPORT.cut, removed={}, widths=widths)
    monkeypatch.setattr(task, "compress", lambda *_, **__: dataclasses.replace(REPORT, cut=cut))
    lines = cli("compress", "a", "--channels", "0.5", "--out", "small.safetensors").out.splitlines()
    assert lines[2] == "channels         2 layers 32 -> 16, 1 layer 64 -> 32"
    assert not any(line.startswith(("blocks", "removed")) for line in lines)


def test_a_student_and_the_cut_network_are_compared(
    cli: Cli, calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    gain, best = {"1": Spread(median=2.0, low=1.9, high=2.1, n=9)}, Accuracy(top1=0.91, interval=(0.8, 1.0), count=100)
    report = dataclasses.replace(
        REPORT,
        student=StudentFacts(
            source="/runs/b/model.safetensors",
            arch="resnet14",
            params=175_000,
            milliseconds=(1.2, 0.6),
            forms={"float32": FileFacts(bytes=700_000, speedup=gain)},
            accuracy=best,
        ),
        choice=Choice(
            kept="student",
            why="the cut network does not keep the limits: it is too large",
            gap=None,
            candidates=(
                Candidate(name="cut", is_kept=False, trained=None, speedup={}, problem="it is too large"),
                Candidate(name="student", is_kept=True, trained=best, speedup=gain, problem=""),
            ),
        ),
    )
    monkeypatch.setattr(task, "compress", lambda *_, **__: report)
    lines = cli("compress", "a", "--speedup", "2", "--out", "small.safetensors").out.splitlines()
    assert [line.split(maxsplit=2)[-1] if line.startswith(("cut", "student t")) else line for line in lines[8:13]] == [
        "student          resnet14 of /runs/b/model.safetensors, 175,000 params",
        "ms an image      0.600 for the student; 1.200 for the whole network (one thread)",
        "it is too large",
        "91.0 % on val, 2.00 times as fast at a batch of 1",
        "kept             student: the cut network does not keep the limits: it is too large",
    ]
    document = cli("compress", "a", "--speedup", "2", "--out", "small.safetensors", "--json").out
    assert '"kept": "student"' in document


def test_a_goal_shows_a_row_for_each_stage(cli: Cli, calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    latency = {size: Latency(p50=1.5, p95=2.5, n=9) for size in ("1", "64")}
    accuracy = Accuracy(top1=0.9, interval=(0.85, 0.95), count=100)
    stages = [
        StageFacts(name=name, params=5000, multiply_adds=2_000_000, bytes=size, accuracy=accuracy, latency=latency)
        for name, size in (("whole", 20_000), ("int8", 5_000))
    ]
    done = {"run": Path("r"), "file": Path("r/export/model-int8.onnx"), "stages": tuple(stages), "test": accuracy}

    def into_run(order: task.Order, *_: Any, **__: Any) -> Iterator[Any]:
        calls.append(order)
        yield from ()
        return dataclasses.replace(REPORT, **done, undone=("int8: too slow",))

    monkeypatch.setattr(task, "into_run", into_run)
    result = cli("compress", "a", "--size", "5kB", "--int8", "--max-drop", "1", "--budget", "9min")
    assert result.code == 0
    assert calls == [task.Order(target="a", size="5kB", int8=True, max_drop=1.0, budget="9min")]
    lines = result.out.splitlines()
    assert "accuracy on test  90.0 % (100 images, opened once)" in lines
    done["test_before"] = dataclasses.replace(accuracy, top1=0.92)
    both = cli("compress", "a", "--size", "5kB", "--int8", "--max-drop", "1", "--budget", "9min")
    assert "accuracy on test  92.0 % -> 90.0 % (100 images, opened once)" in both.out.splitlines()
    assert "rejected          int8: too slow" in lines
    assert any(line.startswith("int8\t") and "1.50 / 2.50" in line for line in lines)
    assert lines[-1] == "  resnetctl predict r/export/model-int8.onnx IMAGE"
