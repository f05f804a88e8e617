"""Test numbers of one dataset that are of different images get different letters."""

from pathlib import Path
from typing import Any

import pytest

from resnetctl.cli.screen import run_cells


def row(data: str, images: str | None) -> dict[str, Any]:
    return {"data": data, "test_images": images, "test_top1": None if images is None else 0.5}


def test_only_images_that_differ_within_a_dataset_get_letters() -> None:
    rows = [row("x", "1"), row("x", "2"), row("y", "3"), row("x", None), row("x", "1"), row("y", "3")]
    assert run_cells.marks_of_test(rows) == ["a", "b", "", "", "a", ""]
    assert run_cells.marks_of_test([]) == []


def test_every_set_of_images_has_a_letter_of_its_own() -> None:
    marks = run_cells.marks_of_test([row("x", str(number)) for number in range(60)])
    assert len(set(marks)) == 60
    assert (marks[25], marks[26]) == ("z", "a2")


def test_the_letter_stands_behind_the_number_on_test() -> None:
    assert run_cells.shown(row("x", "1"), "test_top1", test="a") == "50.0 % a"
    assert run_cells.shown({**row("x", "1"), "val_top1": 0.5}, "val_top1", test="a") == "50.0 %"
    assert run_cells.shown({"primary": "map50", "test": 0.5}, "test_top1", test="b") == "map50 50.0 % b"
    assert "a, b: test accuracies" in run_cells.other_images(["a", "", "b", "a"])


def test_a_setting_is_short_where_it_is_a_path_or_a_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_cells.setting("weights", str(tmp_path / "runs/a/model.safetensors")) == "runs/a/model.safetensors"
    assert run_cells.setting("weights_sha256", "0123456789abcdef" * 4) == "0123456789ab"
    assert (run_cells.setting("lr", 0.1), run_cells.setting("data", "digits")) == ("0.1", "digits")
