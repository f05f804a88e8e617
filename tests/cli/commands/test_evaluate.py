"""`eval` prints the outcome of a replaced task."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from resnetctl.engine.meters.gates import Gates
from resnetctl.engine.metrics import ClassReport, EvalReport
from resnetctl.errors import UsageError
from resnetctl.facts import Notice
from resnetctl.models.published import PUBLISHED
from resnetctl.tasks import evaluate as task
from resnetctl.tasks import held_out

Cli = Callable[..., Any]


def outcome(**changes: Any) -> task.EvalOutcome:
    classes = (
        ClassReport(name="cat", count=10, correct=9, accuracy=0.9),
        ClassReport(name="dog", count=10, correct=7, accuracy=0.7),
        ClassReport(name="emu", count=0, correct=0, accuracy=None),
    )
    report = EvalReport(
        top1=0.8, top5=None, loss=0.51234, count=20, correct=16, per_class=classes,
        confusion=((9, 1, 0), (1, 7, 2), (0, 0, 0)), interval=(0.584, 0.919), seconds=0.25, images_per_second=80.0,
    )  # fmt: skip
    values: dict[str, Any] = {"report": report, "target": Path("m.onnx"), "data": "pets", "split": "test"}
    return task.EvalOutcome(**(values | changes))


@pytest.fixture
def replaced_task(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    def prepare(**changes: Any) -> list[Any]:
        calls: list[Any] = []

        def store_first(target: str | None, settings: Any, *, data: str | None) -> Generator[Notice, None, str | None]:
            if data is not None:
                yield Notice(f"{data} is stored")
            return data and f"{data}-stored"

        def evaluate(target: str | None, **options: Any) -> task.EvalOutcome:
            calls.append((target, {key: value for key, value in options.items() if key != "settings"}))
            return outcome(**changes)

        monkeypatch.setattr(task, "evaluate", evaluate)
        monkeypatch.setattr(held_out, "store_first", store_first)
        return calls

    return prepare


def test_eval_prints_the_report_as_text(cli: Cli, replaced_task: Callable[..., Any]) -> None:
    replaced_task(written=Path("runs/a/eval/pets-test.json"), notices=("val was measured",))
    result = cli("eval")
    assert (result.code, result.err) == (0, "val was measured\n")
    assert result.out.splitlines() == [
        "measured  m.onnx on pets test",
        "accuracy  80.00 %   (16 of 20; 95 % interval 58.4-91.9)",
        "balanced  80.00 %   (mean accuracy of 2 of 3 classes; test has no image of 'emu')",
        "baseline  50.00 %   (always 'cat')",
        "loss      0.5123",
        "time      0.2 s, 80 images/s",
        "wrote     runs/a/eval/pets-test.json",
        "",
        "class\taccuracy\tcorrect\timages\tmost often mistaken for",
        "dog\t70.0 %\t7\t10\temu (2)",
        "cat\t90.0 %\t9\t10\tdog (1)",
        "emu\t-\t0\t0\t",
    ]


def test_json_has_the_documented_keys(cli: Cli, replaced_task: Callable[..., Any]) -> None:
    replaced_task()
    document = cli("eval", "--json").json()
    assert document["schema"] == "resnetctl.eval/1"
    keys = {"top1", "top5", "loss", "count", "correct", "per_class", "confusion", "seconds"}
    assert keys <= set(document)
    assert document["top5"] is None


def test_flags_reach_the_task(cli: Cli, replaced_task: Callable[..., Any]) -> None:
    calls = replaced_task()
    cli("eval")
    names = ("min_primary", "min_accuracy", "min_balanced_accuracy", "min_per_class", "min_lower")
    numbers = {name: 0.6 - place / 10 for place, name in enumerate(names)}
    limits = [word for name, value in numbers.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    result = cli(
        "eval",
        "m.onnx",
        "-d",
        "pets",
        "--split",
        "val",
        "--device",
        "cpu",
        "--per-image",
        "a.csv",
        "--tta",
        "flip",
        *limits,
    )
    assert result.err.startswith("pets is stored\n")
    defaults = {**dict.fromkeys(("data", "device", "per_image", *numbers)), "split": "test", "tta": "none"}
    options = {"data": "pets-stored", "split": "val", "device": "cpu", "per_image": Path("a.csv"), "tta": "flip"}
    assert calls == [(None, defaults), ("m.onnx", options | numbers)]


@pytest.mark.parametrize(("least", "code"), [(0.8, 0), (0.81, 5)])
def test_a_failed_check_is_exit_5_after_the_report(
    cli: Cli, replaced_task: Callable[..., Any], least: float, code: int
) -> None:
    replaced_task(gates=Gates(min_accuracy=least))
    result = cli("eval", "--json", "--min-accuracy", str(least))
    assert result.code == code
    assert result.json()["top1"] == 0.8
    assert bool(result.err) is (code == 5)


@pytest.mark.parametrize(
    ("gates", "rows"),
    [
        (Gates(min_accuracy=0.8, min_lower=0.5), ["limits    met: accuracy 0.8, lower end 0.5"]),
        (Gates(min_accuracy=0.81, min_lower=0.5), []),
        (Gates(), []),
    ],
)
def test_a_row_says_that_the_limits_are_met(
    cli: Cli, replaced_task: Callable[..., Any], gates: Gates, rows: list[str]
) -> None:
    replaced_task(gates=gates)
    assert [line for line in cli("eval").out.splitlines() if line.startswith("limits")] == rows


def test_a_message_says_that_only_the_worst_classes_are_shown(cli: Cli, replaced_task: Callable[..., Any]) -> None:
    many = tuple(ClassReport(name=f"c{n}", count=1, correct=1, accuracy=1.0) for n in range(30))
    report = outcome().report
    values = {name: getattr(report, name) for name in report.__dataclass_fields__}
    confusion = tuple(tuple(int(a == b) for a in range(30)) for b in range(30))
    replaced_task(report=EvalReport(**(values | {"per_class": many, "confusion": confusion, "top5": 1.0})))
    result = cli("eval")
    assert "top-5     100.00 %" in result.out.splitlines()
    assert result.out.splitlines()[-1].startswith("c9\t")
    assert result.err == "These are the worst 10 of 30 classes; --json has all, and the confusion matrix\n"


def test_every_failed_limit_is_named_in_one_error(cli: Cli, replaced_task: Callable[..., Any]) -> None:
    replaced_task(gates=Gates(min_accuracy=0.9, min_lower=0.6))
    result = cli("eval")
    assert result.code == 5
    assert result.err.splitlines() == [
        "error: the numbers are below the required limits",
        "  - the accuracy is 80.00 %, below the required 90 %",
        "  - the lower end of the 95 % interval is 58.40 %, below the required 60 %",
    ]


def test_a_percentage_is_refused_with_the_fraction_to_paste(cli: Cli) -> None:
    result = cli("eval", "--min-balanced-accuracy", "75")
    assert result.code == 2
    assert result.err.splitlines() == [
        "error: a limit is a fraction between 0 and 1, not 75",
        "  where  --min-balanced-accuracy",
        "  try    --min-balanced-accuracy 0.75",
    ]


def test_a_report_that_cannot_be_written_is_printed_first(cli: Cli, replaced_task: Callable[..., Any]) -> None:
    replaced_task(unwritten=UsageError("the report was not written: cannot write", where="runs/a/eval"))
    result = cli("eval")
    assert result.code == 2
    assert "accuracy  80.00 %" in result.out
    assert result.err.splitlines() == [
        "error: the report was not written: cannot write",
        "  where  runs/a/eval",
    ]


def test_a_wrong_limit_is_reported_before_images_are_stored(cli: Cli, replaced_task: Callable[..., Any]) -> None:
    replaced_task()
    result = cli("eval", "-d", "./pets", "--min-lower", "95")
    assert result.code == 2
    assert "is stored" not in result.err


@pytest.mark.parametrize(("incomparable", "verdict"), [
    ((), "same images and split"),
    (("other images", "measured on val"), "not comparable: other images, measured on val"),
])  # fmt: skip
def test_a_published_accuracy_stands_beside_the_measured_one(
    cli: Cli, replaced_task: Callable[..., Any], incomparable: tuple[str, ...], verdict: str
) -> None:
    replaced_task(data="cifar10", published=PUBLISHED["resnet20"], incomparable=incomparable)
    (line,) = (line for line in cli("eval").out.splitlines() if line.startswith("published"))
    assert line == f"published  91.25 %   (He et al. 2015, arXiv:1512.03385, table 6; {verdict})"
    replaced_task(data="digits", published=PUBLISHED["resnet20"], incomparable=("other images",))
    assert "published" not in cli("eval").out


def test_the_number_of_threads_reaches_the_task(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def evaluate(target: str | None, *, settings: Any, **options: Any) -> task.EvalOutcome:
        threads.append(settings.threads)
        return outcome()

    monkeypatch.setattr(task, "evaluate", evaluate)
    assert cli("eval", "--threads", "2").code == 0
    assert cli("eval", "--threads", "0").code == 0
    assert threads == [2, 0]
    assert cli("eval", "--threads", "-1").code == 2
