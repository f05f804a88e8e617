"""A tracker has a folder in the run, and its name is read back from it."""

from pathlib import Path

from resnetctl.runs import create
from resnetctl.runs.trackers import folder_for, trackers_of


def test_the_folders_of_a_run_name_its_trackers(tmp_path: Path) -> None:
    run = create(tmp_path, "one", config="", sources={}, env={})
    assert trackers_of(run) == ()
    folder = folder_for(run, "mine:csv")
    assert folder.is_dir()
    assert folder.parent == run.path / "trackers"
    assert folder_for(run, "mine:csv") == folder
    (folder.parent / "notes.txt").write_text("no folder")
    folder_for(run, "board")
    assert trackers_of(run) == ("board", "mine:csv")
