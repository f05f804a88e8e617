"""Logs are read up to the first damaged line."""

from pathlib import Path

import pytest

from resnetctl.errors import InputError
from resnetctl.runs import log
from resnetctl.runs.log import read_lines, to_line, val_key, with_speed


def test_lines_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert read_lines(path) == []
    path.write_bytes(to_line({"a": 1}) + to_line({"b": [0.5]}))
    assert read_lines(path) == [{"a": 1}, {"b": [0.5]}]


@pytest.mark.parametrize("tail", [b'{"a": ', b"7\n", b"[" * 100_000, b"\xff\n", b"null\n"])
def test_a_damaged_line_ends_the_log(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(to_line({"a": 1}) + tail + b"\n" + to_line({"b": 2}))
    assert read_lines(path) == [{"a": 1}]


def test_a_huge_log_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MAX_LOG", 10)
    (tmp_path / "log.jsonl").write_bytes(to_line({"a": "long enough"}))
    with pytest.raises(InputError):
        read_lines(tmp_path / "log.jsonl")


def test_lines_without_an_end_and_empty_lines(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(to_line({"a": 1}) + b'{"b": 2}')
    assert read_lines(path) == [{"a": 1}, {"b": 2}]
    path.write_bytes(b"\n" + to_line({"a": 1}))
    assert read_lines(path) == []
    assert to_line({"a": "\n\u00e9"}).count(b"\n") == 1


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ({"epoch": 1, "val_loss": 1.0, "val_top1": 0.5}, "val_top1"),
        ({"epoch": 1, "val_map50": 0.5, "val_map": 0.2}, "val_map50"),
        ({"epoch": 1, "train_loss": 1.0}, ""),
    ],
)
def test_the_deciding_number_on_val_is_known_by_its_key(line: dict[str, float], key: str) -> None:
    assert val_key(line) == key


def test_epochs_have_their_speed_as_far_as_it_was_logged() -> None:
    metrics = [{"epoch": 1, "train_loss": 2.0}, {"epoch": 2, "train_loss": 1.0}]
    timings = [{"epoch": 1, "seconds": 2.0, "images_per_second": 300.0}]
    assert with_speed(metrics, timings) == [
        {"epoch": 1, "train_loss": 2.0, "images_per_second": 300.0},
        {"epoch": 2, "train_loss": 1.0, "images_per_second": None},
    ]
    assert with_speed([], timings) == []
