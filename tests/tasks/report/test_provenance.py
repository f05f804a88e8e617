"""The page of a report says which run and which epochs its numbers come from."""

from pathlib import Path

import pytest

from resnetctl.errors import InputError
from resnetctl.runs import RunDir
from resnetctl.tasks.report.provenance import compressed, epochs


def test_a_file_that_is_no_run_has_no_epochs() -> None:
    assert epochs(None) == ()


def test_epochs_have_their_numbers_and_their_speed(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1, "val_top1": 0.5}\n{"epoch": 2, "val_top1": 0.75}\n')
    (tmp_path / "timings.jsonl").write_text('{"images_per_second": 300.0}\n')
    assert epochs(RunDir(tmp_path)) == (
        {"epoch": 1, "val_top1": 0.5, "images_per_second": 300.0},
        {"epoch": 2, "val_top1": 0.75, "images_per_second": None},
    )


def test_a_run_of_compress_says_how_it_was_made(tmp_path: Path) -> None:
    assert (compressed(None), compressed(RunDir(tmp_path))) == ({}, {})
    (tmp_path / "compressed.json").write_text('{"stages": []}')
    assert compressed(RunDir(tmp_path)) == {}  # cut without a goal: nothing was measured on the way
    (tmp_path / "compressed.json").write_text('{"stages": [{"name": "whole"}]}')
    assert compressed(RunDir(tmp_path)) == {"stages": [{"name": "whole"}]}
    (tmp_path / "compressed.json").write_text("no json")
    with pytest.raises(InputError):
        compressed(RunDir(tmp_path))
