"""`predict` prints the outcome of a replaced task."""

import dataclasses
import json
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from support.trained import card, make_pictures, make_run

from resnetctl.data.reading.decode import BadImage
from resnetctl.facts import Progress
from resnetctl.hints import Setting
from resnetctl.tasks import predict as task
from resnetctl.tasks.predictions.ranking import Prediction

Cli = Callable[..., Any]
OUTCOME = task.PredictOutcome(
    results=(
        Prediction(file=Path("a.png"), guesses=(("cat", 0.91239), ("dog", 0.05))),
        Prediction(file=Path("b\x1b.png"), guesses=(("dog", 1.0),)),
    ),
    notices=("the run is unfinished",),
)


def bad(name: str, problem: str) -> Prediction:
    return Prediction(file=Path(name), problem=BadImage(problem, hint=Setting("max_pixels", 7)))


def returning(outcome: task.PredictOutcome) -> Generator[Progress, None, task.PredictOutcome]:
    yield from ()
    return outcome


SETS = (("cat", "dog"), ())


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    received: list[Any] = []

    def predicting(
        target: str, images: list[Path], *, settings: object, **options: Any
    ) -> Generator[Progress, None, task.PredictOutcome]:
        received.append((target, images, options))
        yield Progress(what="classifying", done=1, total=2, unit="images")
        return OUTCOME

    monkeypatch.setattr(task, "predicting", predicting)
    return received


def test_predict_prints_one_line_for_each_file_and_class(cli: Cli, calls: list[Any]) -> None:
    result = cli("predict", "last", "a.png", "b.png", "--top", "2", "--max-pixels", "99")
    assert (result.code, result.err) == (0, "classifying ...\nthe run is unfinished\n")
    assert result.out.splitlines() == [
        "file\tclass\tprobability",
        "a.png\tcat\t0.9124",
        "a.png\tdog\t0.0500",
        "b\\x1b.png\tdog\t1.0000",
    ]
    rest = {"top": 2, "level": None, "max_pixels": 99, "batch": 64, "move": None, "out": None, "min_score": None}
    rest |= {"vectors": None, "precision": "fp32"}
    assert calls == [("last", [Path("a.png"), Path("b.png")], rest)]


def test_predict_prints_the_prediction_set_once_for_each_file(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    with_sets = [dataclasses.replace(item, classes=names) for item, names in zip(OUTCOME.results, SETS, strict=True)]
    outcome = task.PredictOutcome(results=tuple(with_sets))
    levels: list[float] = []
    monkeypatch.setattr(task, "predicting", lambda *_, level, **__: (levels.append(level), returning(outcome))[1])
    result = cli("predict", "last", "a.png", "b.png", "--top", "2", "--set", "0.9")
    assert levels == [0.9]
    assert result.out.splitlines() == [
        "file\tclass\tprobability\tset",
        "a.png\tcat\t0.9124\tcat, dog",
        "a.png\tdog\t0.0500\t",
        "b\\x1b.png\tdog\t1.0000\tno class",
    ]


def test_predict_remarks_on_a_strange_picture(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    strange = [dataclasses.replace(OUTCOME.results[0], is_strange=True, distance=0.9)]
    familiar = [dataclasses.replace(OUTCOME.results[1], is_strange=False, distance=0.1)]
    outcome = task.PredictOutcome(results=(*strange, *familiar))
    monkeypatch.setattr(task, "predicting", lambda *_, **__: returning(outcome))
    assert cli("predict", "last", "a.png", "b.png").out.splitlines() == [
        "file\tclass\tprobability\tremark",
        "a.png\tcat\t0.9124\tunlike anything in training",
        "a.png\tdog\t0.0500\t",
        "b\\x1b.png\tdog\t1.0000\t",
    ]
    plain = task.PredictOutcome(results=tuple(familiar))
    monkeypatch.setattr(task, "predicting", lambda *_, **__: returning(plain))
    assert "remark" not in cli("predict", "last", "b.png").out


def test_predict_prints_json(cli: Cli, calls: list[Any]) -> None:
    document = cli("predict", "last", "a.png", "--json").json()
    assert document["schema"] == "resnetctl.predict/1"
    assert document["results"][0]["predictions"][0] == {"class": "cat", "probability": 0.91239}


def test_bad_files_are_exit_3_after_the_results(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    mixed = task.PredictOutcome(results=(*OUTCOME.results, bad("c.png", "no image")))
    monkeypatch.setattr(task, "predicting", lambda *args, **options: returning(mixed))
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
    monkeypatch.setattr(task, "predicting", lambda *args, **more: returning(nothing))
    result = cli("predict", "last", "x.png")
    assert (result.code, result.out) == (3, "")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    make_run(card())
    folder = make_pictures(tmp_path / "pictures")
    (folder / "bad.png").write_bytes(b"no image")
    return folder


def test_jsonl_has_a_line_for_each_image_and_the_bad_ones_at_the_end(cli: Cli, pictures: Path) -> None:
    result = cli("predict", "first", str(pictures), "--jsonl")
    whole = cli("predict", "first", str(pictures), "--json")
    assert [json.loads(line) for line in result.out.splitlines()] == whole.json()["results"]
    assert (result.code, whole.code) == (3, 3)
    assert f"- {pictures / 'bad.png'}: cannot be read as an image" in " ".join(result.err.split())


def test_csv_prints_what_was_written_and_resumes(cli: Cli, pictures: Path, machine: Path) -> None:
    first = cli("predict", "first", str(pictures), "--csv", "a.csv")
    assert first.out.splitlines() == ["wrote       a.csv", "rows        6", "unreadable  1"]
    assert (first.code, len((machine / "a.csv").read_text().splitlines())) == (3, 7)
    again = cli("predict", "first", str(pictures), "--csv", "a.csv", "--json")
    assert again.code == 3
    document = again.json()
    assert document["schema"] == "resnetctl.predict.csv/1"
    assert (document["images"], document["before"], document["unreadable"]) == (6, 5, 1)


def test_move_puts_each_file_into_the_folder_of_its_class(cli: Cli, pictures: Path, machine: Path) -> None:
    result = cli("predict", "first", str(pictures), "--move", "sorted", "--jsonl")
    items = [json.loads(line) for line in result.out.splitlines()]
    for item in items:
        if item["problem"] is None:
            assert item["moved"] == str(Path("sorted", item["predictions"][0]["class"], Path(item["file"]).name))
            assert (machine / item["moved"]).is_file()
    assert [file.name for file in pictures.iterdir()] == ["bad.png"]
    (pictures / "bad.png").unlink()
    make_pictures(pictures)
    assert "5 files to sorted" in cli("predict", "first", str(pictures), "--move", "sorted", "--csv", "a.csv").out


def test_one_output_is_chosen(cli: Cli) -> None:
    for other in (["--json"], ["--csv", "a.csv"]):
        result = cli("predict", "last", "a.png", "--jsonl", *other)
        assert (result.code, "choose one output" in result.err) == (2, True)


def test_a_stopped_table_says_how_to_go_on(cli: Cli, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*values: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(task, "ranked", stopped)
    result = cli("predict", "first", str(pictures), "--csv", "a.csv")
    assert result.code == 130
    assert "a.csv keeps the rows so far; the same command goes on from there" in result.err
