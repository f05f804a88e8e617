"""What `eval` and `predict` return is the same for classifiers and for networks with a head."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from resnetctl.data.reading.decode import BadImage
from resnetctl.errors import DataError, WorkFailed
from resnetctl.hints import Setting
from resnetctl.report.outcomes import Measurement, PerPicture, TrainReport


@dataclass(frozen=True, kw_only=True)
class Answer:
    file: Path | None
    problem: BadImage | None = None


@dataclass(frozen=True, kw_only=True)
class Answers(PerPicture):
    done: ClassVar[str] = "searched"


def bad(name: str, *limits: int) -> Answer:
    hint = [Setting("max_pixels", limit) for limit in limits]
    return Answer(file=Path(name), problem=BadImage(f"{name} is bad", hint=hint))


def test_an_error_waits_until_the_numbers_were_shown() -> None:
    plain = Measurement(target=Path("a"), data="zoo", split="test")
    plain.require()
    error = WorkFailed("the disk is full")
    with pytest.raises(WorkFailed) as caught:
        Measurement(target=Path("a"), data="zoo", split="test", unwritten=error).require()
    assert caught.value is error


def test_problems_are_listed_with_the_limit_that_lets_every_picture_in() -> None:
    outcome = Answers(results=(Answer(file=Path("a")), bad("b", 100), bad("c", 900), bad("d")))
    with pytest.raises(DataError, match="3 images cannot be read; the others are searched") as caught:
        outcome.require()
    assert caught.value.problems == outcome.problems == ("b: b is bad", "c: c is bad", "d: d is bad")
    assert caught.value.hint == (Setting("max_pixels", 900),)


def test_when_no_picture_can_be_read_no_others_are_mentioned(tmp_path: Path) -> None:
    (tmp_path / "b").touch()
    with pytest.raises(DataError) as caught:
        Answers(results=(bad(str(tmp_path / "b")),)).require()
    assert caught.value.message == "1 image cannot be read"
    Answers(results=(Answer(file=None),)).require()


def test_what_is_not_there_is_no_broken_image(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError) as caught:
        Answers(results=(bad(str(tmp_path / "photo")),)).require()
    assert caught.value.message == "there is no image here"
    assert caught.value.hint == (f"did you mean '{tmp_path / 'photos'}'?",)


def test_a_finished_run_names_its_folder() -> None:
    report = TrainReport(path=Path("runs/a"), summary={"status": "finished", "epochs": 3})
    assert report.to_json() == {
        "schema": "resnetctl.train/1", "status": "finished", "epochs": 3, "run": "runs/a"
    }  # fmt: skip


def test_a_dry_run_has_no_folder() -> None:
    assert "run" not in TrainReport(path=None, summary={"status": "dry run"}).to_json()
