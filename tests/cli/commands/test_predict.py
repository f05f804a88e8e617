"""`predict` prints the outcome of a replaced task."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resnetctl.data.reading.decode import BadImage
from resnetctl.hints import Setting
from resnetctl.tasks import predict as task

Cli = Callable[..., Any]
OUTCOME = task.PredictOutcome(
    results=(
        task.Prediction(file=Path("a.png"), guesses=(("cat", 0.91239), ("dog", 0.05))),
        task.Prediction(file=Path("b\x1b.png"), guesses=(("dog", 1.0),)),
    ),
    notices=("the run is unfinished",),
)


def bad(name: str, problem: str) -> task.Prediction:
    return task.Prediction(file=Path(name), problem=BadImage(problem, hint=Setting("max_pixels", 7)))


SETS = (("cat", "dog"), ())


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    received: list[Any] = []

    def predict(target: str, images: list[Path], *, settings: object, **options: Any) -> task.PredictOutcome:
        received.append((target, images, options))
        return OUTCOME

    monkeypatch.setattr(task, "predict", predict)
    return received


def test_predict_prints_one_line_for_each_file_and_class(cli: Cli, calls: list[Any]) -> None:
    result = cli("predict", "last", "a.png", "b.png", "--top", "2", "--max-pixels", "99")
    assert (result.code, result.err) == (0, "the run is unfinished\n")
    assert result.out.splitlines() == [
        "file\tclass\tprobability",
        "a.png\tcat\t0.9124",
        "a.png\tdog\t0.0500",
        "b\\x1b.png\tdog\t1.0000",
    ]
    rest = {"top": 2, "level": None, "max_pixels": 99, "out": None, "min_score": None}
    assert calls == [("last", [Path("a.png"), Path("b.png")], rest)]


def test_predict_prints_the_prediction_set_once_for_each_file(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    with_sets = [dataclasses.replace(item, classes=names) for item, names in zip(OUTCOME.results, SETS, strict=True)]
    outcome = task.PredictOutcome(results=tuple(with_sets))
    levels: list[float] = []
    monkeypatch.setattr(task, "predict", lambda *_, level, **__: (levels.append(level), outcome)[1])
    result = cli("predict", "last", "a.png", "b.png", "--top", "2", "--set", "0.9")
    assert levels == [0.9]
    assert result.out.splitlines() == [
        "file\tclass\tprobability\tset",
        "a.png\tcat\t0.9124\tcat, dog",
        "a.png\tdog\t0.0500\t",
        "b\\x1b.png\tdog\t1.0000\tno class",
    ]


def test_predict_prints_json(cli: Cli, calls: list[Any]) -> None:
    document = cli("predict", "last", "a.png", "--json").json()
    assert document["schema"] == "resnetctl.predict/1"
    assert document["results"][0]["predictions"][0] == {"class": "cat", "probability": 0.91239}


def test_bad_files_are_exit_3_after_the_results(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    mixed = task.PredictOutcome(results=(*OUTCOME.results, bad("c.png", "no image")))
    monkeypatch.setattr(task, "predict", lambda *args, **options: mixed)
    result = cli("predict", "last", "a.png", "c.png")
    assert result.code == 3
    assert result.out.count("\n") == 4
    assert "  - c.png: no image" in result.err
    assert "try    --max-pixels 7" in result.err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ([], "error: resnetctl predict needs TARGET"),
        (["last"], "error: resnetctl predict needs IMAGE..."),
        (["last", "a.png", "--top", "0"], "error: --top should be greater than or equal to 1, not '0'"),
    ],
)
def test_missing_arguments_are_usage_errors(cli: Cli, line: list[str], message: str) -> None:
    result = cli("predict", *line)
    assert (result.code, result.err.splitlines()[0]) == (2, message)


def test_a_line_without_target_gets_an_example(cli: Cli) -> None:
    assert "try    resnetctl predict last cat.jpg dog.png" in cli("predict", "cat.jpg").err


def test_without_results_no_header_is_printed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = task.PredictOutcome(results=(bad("x.png", "no such file"),))
    monkeypatch.setattr(task, "predict", lambda *args, **more: nothing)
    result = cli("predict", "last", "x.png")
    assert (result.code, result.out) == (3, "")
