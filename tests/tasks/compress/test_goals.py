"""A goal ends with a checked file, or with exit code 5 and the best that was reached."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from support.compressed import OUT
from support.faults import Fault, Hook

import resnetctl as rc
from resnetctl import runs
from resnetctl.compress import int8, latency
from resnetctl.compress.cost import params
from resnetctl.deploy.onnx_checks import check
from resnetctl.engine.stopwatch import Spread
from resnetctl.errors import CheckFailed, UsageError, WorkFailed
from resnetctl.hints import in_shell
from resnetctl.runs.staged import StagedRun
from resnetctl.system import settings
from resnetctl.tasks.compress import goals, steps
from resnetctl.tasks.compress.attempts import File
from resnetctl.tasks.compress.judge import Judge
from resnetctl.tasks.compress.report import Accuracy, CompressReport
from resnetctl.tasks.evaluate import evaluate
from resnetctl.weights.file import Header, load_model, to_bytes

GOAL: dict[str, Any] = {"speedup": 1.6, "int8": True, "max_drop": 100.0, "finetune": "1epoch"}


def go(name: str = "small", **changes: Any) -> CompressReport:
    return rc.compress("first", name=name, progress=False, **{**GOAL, **changes})


def test_a_goal_ends_with_a_checked_file_and_test_is_opened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "SECONDS", 0.01)
    spread = Spread(median=1.5, low=1.5, high=1.5, n=3)
    monkeypatch.setattr(int8, "speedups", lambda base, others, **_: {key: {1: spread} for key in others})
    report = go()
    assert report.file is not None
    assert [stage.name for stage in report.stages] == ["whole", "1-cut", "2-finetune", "int8"]
    assert report.cut.after == (2, 1)  # the most blocks with 5 / blocks >= 1.6
    whole, cut, trained, last = report.stages
    assert whole.multiply_adds > cut.multiply_adds == trained.multiply_adds
    assert last.bytes == report.file.stat().st_size
    assert set(last.latency) == {"1", "64"}
    assert last.latency["1"].p50 <= last.latency["1"].p95
    assert check(report.file.read_bytes(), str(report.file)).weights.arch.name == "tiny-blocks-2-1"
    assert evaluate(report.file, settings=settings.load(), split="val").report.top1 == last.accuracy.top1
    assert report.run is not None
    assert (report.run / "pareto.svg").read_bytes().startswith(b"<svg")
    assert report.test is not None
    measured = evaluate(report.file, settings=settings.load())
    assert (measured.report.top1, measured.report.count) == (report.test.top1, report.test.count)
    assert measured.looks is not None
    assert measured.looks.models == 1  # the same weights: not another look


@pytest.mark.usefixtures("quick")
def test_an_int8_file_that_fails_its_gate_is_taken_back_and_more_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    def slower(*_: Any, **__: Any) -> File:
        raise CheckFailed("int8 is slower than float32", problems=["batch of 1: 0.50 times"])

    monkeypatch.setattr(goals, "int8_file", slower)
    report = go()
    assert report.file == runs.find("small", settings.load().runs_dir).onnx
    assert [stage.name for stage in report.stages] == ["whole", "3-cut", "4-finetune"]
    assert report.undone == ("int8: int8 is slower than float32 (batch of 1: 0.50 times)",)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("median", "name"), [(1.59, "4-finetune"), (1.61, "int8")])
@pytest.mark.parametrize("goal", [{"speedup": 1.6}, {"speedup": None, "target_ms": 5.0 / 1.6}])
def test_layers_that_went_back_to_float32_must_leave_the_file_fast_enough(
    monkeypatch: pytest.MonkeyPatch, median: float, name: str, goal: dict[str, Any]
) -> None:
    real, spread = goals.int8_file, Spread(median=median, low=median, high=median, n=3)

    def mixed(*arguments: Any, **more: Any) -> File:
        return dataclasses.replace(real(*arguments, **more), float_layers=("conv1", "fc"))

    monkeypatch.setattr(goals, "int8_file", mixed)
    monkeypatch.setattr(goals, "speedups", lambda base, others, **_: {key: {1: spread} for key in others})
    report = go(**goal)
    assert report.stages[-1].name == name
    undone = "int8: with 2 layers in float32 it is 1.59 times as fast, and 1.60 times are needed"
    assert report.undone == ((undone,) if median < 1.6 else ())


@pytest.mark.usefixtures("quick")
def test_an_accuracy_that_falls_too_far_ends_with_exit_code_5_and_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    real = steps.float_file

    def worse(judge: Judge, header: Header, *, name: str) -> File:
        top1 = 0.9 if name == "whole" else 0.8
        accuracy = Accuracy(top1=top1, interval=(0.0, 1.0), count=100)
        return dataclasses.replace(real(judge, header, name=name), accuracy=accuracy)

    monkeypatch.setattr(steps, "float_file", worse)
    with pytest.raises(CheckFailed, match="no network keeps all limits") as caught:
        go(max_drop=2.0, int8=False)
    assert caught.value.exit_code == 5
    assert "2-finetune loses 10.00 points on val, and 2 are allowed" in caught.value.problems[0]
    assert "1.67 times as fast, 80.00% on val" in caught.value.problems[0]
    staged = StagedRun(settings.load().runs_dir / "small")
    assert staged.stage("2-finetune").summary() is not None
    assert not staged.path.joinpath("config.toml").exists()
    assert in_shell(caught.value.hint[0]) == f"resnetctl runs remove {staged.path}    deletes its stages"


def test_a_goal_that_nothing_reaches_leaves_nothing_behind() -> None:
    with pytest.raises(CheckFailed) as caught:
        go(speedup=9.0)
    assert len(caught.value.problems) == 2
    assert "1,1 blocks: 2.50 times as fast" in caught.value.problems[0]
    assert (caught.value.hint, caught.value.where) == ((), None)
    assert not (settings.load().runs_dir / "small").exists()


@pytest.fixture
def doubted(run: runs.RunDir) -> None:
    """The whole network may have learned val."""
    net, card = load_model(run.weights)
    run.save_weights(to_bytes(net.state_dict(), dataclasses.replace(card, val_seen=True)))


def lose(monkeypatch: pytest.MonkeyPatch, *, on_val: float, on_test: float) -> list[str]:
    """Let the smaller network lose these points; return the list of the files that test will judge."""
    real, judged = steps.float_file, list[str]()

    def on(drop: float, name: str) -> Accuracy:
        top1 = 0.9 if name == "whole" else 0.9 - drop / 100
        return Accuracy(top1=top1, interval=(0.0, 1.0), count=100)

    def file(judge: Judge, header: Header, *, name: str) -> File:
        return dataclasses.replace(real(judge, header, name=name), accuracy=on(on_val, name))

    def tested(_: Any, weights: Path, file: File) -> tuple[Accuracy, tuple[str, ...]]:
        judged.append(file.name)
        return on(on_test, file.name), ()

    monkeypatch.setattr(steps, "float_file", file)
    monkeypatch.setattr(goals, "_on_test", tested)
    return judged


@pytest.mark.usefixtures("quick", "doubted")
@pytest.mark.parametrize("quantised", [True, False])
def test_where_val_flatters_the_whole_network_test_judges_what_is_lost(
    monkeypatch: pytest.MonkeyPatch, quantised: bool
) -> None:
    judged = lose(monkeypatch, on_val=6.0, on_test=1.0)
    report = go(max_drop=1.5, int8=quantised)
    assert judged == [report.stages[-1].name, "whole"]
    assert report.test_before is not None
    assert report.test is not None
    assert (report.test_before.top1, report.test.top1) == (0.9, pytest.approx(0.89))


@pytest.mark.usefixtures("quick", "doubted")
def test_a_loss_on_test_ends_the_work_and_nothing_more_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = lose(monkeypatch, on_val=0.0, on_test=2.0)
    with pytest.raises(CheckFailed, match="no network keeps all limits") as caught:
        go(max_drop=1.5)
    assert caught.value.exit_code == 5
    assert "int8 loses 2.00 points on test, and 1.5 are allowed" in caught.value.problems[-1]
    assert judged == ["int8", "whole"]
    staged = StagedRun(settings.load().runs_dir / "small")
    assert [staged.stage(name).onnx.exists() for name in ("1-cut", "2-finetune")] == [False, False]
    assert not staged.stage("3-cut").path.exists()


@pytest.mark.usefixtures("quick")
def test_where_val_is_clean_test_judges_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = lose(monkeypatch, on_val=1.0, on_test=50.0)
    report = go(max_drop=1.5, int8=False)
    assert (judged, report.test_before) == (["2-finetune"], None)


@pytest.mark.usefixtures("quick")
def test_a_size_is_kept() -> None:
    whole = 4 * params(load_model(runs.find("first", settings.load().runs_dir).weights)[0])
    report = go(speedup=None, size=f"{whole // 2}B", int8=False)
    assert report.stages[-1].bytes <= whole // 2
    with pytest.raises(CheckFailed, match="no network keeps all limits"):
        go("none", speedup=None, size="10B", int8=False)


@pytest.mark.usefixtures("quick")
def test_a_time_is_a_speed_up_over_the_measured_time_of_the_whole_network() -> None:
    with pytest.raises(CheckFailed) as caught:
        go(speedup=None, target_ms=0.1, int8=False)
    assert "1,1 blocks: 2 ms an image, and 0.1 ms are wanted" in caught.value.problems[0]
    report = go(speedup=None, target_ms=3.0, int8=False)  # the whole takes 5.0 in the table of the tests
    assert sum(report.cut.after) == 3
    assert report.cut.table is not None


@pytest.mark.usefixtures("quick")
def test_the_kept_blocks_may_be_named_and_quantised() -> None:
    report = go(speedup=None, keep_blocks=[2, 2])
    assert report.cut.after == (2, 2)
    assert report.stages[-1].name == "int8"


@pytest.mark.usefixtures("quick")
def test_a_killed_goal_goes_on_to_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = go("whole")
    with monkeypatch.context() as patch:
        patch.setattr(goals, "int8_file", _stop)
        with pytest.raises(KeyboardInterrupt):
            go()
    report = rc.compress(name="small", progress=False)
    assert report.path.read_bytes() == whole.path.read_bytes()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_disk_that_is_full_from_some_moment_is_one_error_and_the_goal_goes_on(share: float) -> None:
    with Hook(Path.cwd(), Fault(10**6, "ENOSPC")).installed() as hook:
        whole = go("whole")
    fault = Fault(int(share * hook.count), "ENOSPC", lasting=True)
    with Hook(Path.cwd(), fault).installed(), pytest.raises((WorkFailed, UsageError), match="No space left"):
        go()
    report = rc.compress(name="small", progress=False) if Path("runs/small").exists() else go()
    assert report.path.read_bytes() == whole.path.read_bytes()
    assert report.file is not None
    assert report.file.read_bytes() == whole.file.read_bytes()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"speedup": None}, "give one of these: a time, a speed-up, a size"),
        ({"target_ms": 1.0}, "give one of these"),
        ({"speedup": None, "target_ms": -1.0}, "the time must be above 0 ms"),
        ({"speedup": None, "size": "big"}, "size should be a size such as 500kB"),
        ({"max_drop": -1.0}, "the drop must be 0 to 100 points"),
        ({"budget": "soon"}, "budget should be a time"),
        ({"budget": "9min", "set": {"epochs": 2}, "finetune": None}, "budget chooses the length of the run"),
        ({"speedup": 0.5}, "the speed-up must be above 1"),
    ],
)
def test_limits_that_make_no_sense_are_refused_before_any_work(order: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        go(**order)
    assert not (settings.load().runs_dir / "small").exists()


def test_a_file_alone_has_no_goal() -> None:
    with pytest.raises(UsageError, match="int8 makes a run"):
        rc.compress("first", out=OUT, keep_blocks=[1, 1], int8=True)
    assert not Path(OUT).exists()


def _stop(*_: Any, **__: Any) -> Any:
    raise KeyboardInterrupt
