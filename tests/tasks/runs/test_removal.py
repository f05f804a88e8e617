"""Runs are chosen by name or path, each once, and removed."""

from pathlib import Path

import pytest

from resnetctl import runs
from resnetctl.errors import InputError
from resnetctl.tasks.runs import removal


def test_chosen_runs_are_removed_once(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    paths = [runs.create(folder, name, config="", sources={}, env={}).path for name in ("a", "b", "c")]
    chosen = removal.chosen(["a", str(paths[2]), "last"], folder)
    assert [run.path.name for run in chosen] == ["a", "c"]
    report = removal.remove(chosen)
    assert [path.name for path in report.removed] == ["a", "c"]
    assert sorted(path.name for path in folder.iterdir()) == ["b", "last"]


def test_nothing_is_removed_when_a_name_is_unknown(tmp_path: Path) -> None:
    runs.create(tmp_path, "a", config="", sources={}, env={})
    with pytest.raises(InputError, match="no run 'x'"):
        removal.chosen(["a", "x"], tmp_path)
