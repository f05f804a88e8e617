"""The curves of a run are SVG files in a folder."""

from pathlib import Path

import pytest

from resnetctl.errors import UsageError
from resnetctl.runs import RunDir, create
from resnetctl.runs.group import create_group
from resnetctl.tasks.runs.curves import plot


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    made = create(tmp_path, "one", config="", sources={}, env={})
    for epoch in (1, 2):
        made.log({"epoch": epoch, "train_loss": 1 / epoch, "lr": 0.1}, {"epoch": epoch})
    return made


def test_a_folder_gets_each_curve(run: RunDir, tmp_path: Path) -> None:
    files = plot(run, tmp_path / "new" / "figures").files
    assert [path.name for path in files] == ["loss.svg", "learning-rate.svg"]
    assert all(path.read_bytes().startswith(b"<svg") for path in files)


def test_the_folder_is_named_after_the_run_by_default(
    run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert plot(RunDir(tmp_path / "last"), None).files[0] == Path("one-curves/loss.svg")


def test_the_run_of_a_group_has_the_name_of_its_group_in_the_folder(
    run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    create_group(tmp_path, "five", plan={"keys": [], "points": {}}, configs={})
    run.path.rename(tmp_path / "five" / "one")
    assert plot(RunDir(tmp_path / "five" / "one"), None).files[0] == Path("five-one-curves/loss.svg")


def test_a_file_is_refused_because_there_are_several_curves(run: RunDir, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="must be a folder"):
        plot(run, tmp_path / "loss.svg")
    assert not (tmp_path / "loss.svg").exists()
