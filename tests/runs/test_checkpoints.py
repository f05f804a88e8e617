"""The newest two checkpoint files are kept."""

from pathlib import Path

from resnetctl.runs.checkpoints import Checkpoints


def test_the_newest_two_are_kept_newest_first(tmp_path: Path) -> None:
    files = Checkpoints(tmp_path / "checkpoints")
    for step in (1, 40, 300):
        files.save(step, b"x")
    assert [path.name for path in files.paths()] == ["step-000000300.safetensors", "step-000000040.safetensors"]


def test_drop_deletes_a_checkpoint_by_name(tmp_path: Path) -> None:
    files = Checkpoints(tmp_path / "checkpoints")
    files.save(1, b"x")
    files.drop("step-000000001.safetensors")
    assert files.paths() == []


def test_saving_a_step_again_replaces_it_and_other_files_are_none(tmp_path: Path) -> None:
    files = Checkpoints(tmp_path / "checkpoints")
    for data in (b"old", b"new"):
        files.save(7, data)
    (files.folder / "notes.txt").write_text("mine")
    (path,) = files.paths()
    assert path.read_bytes() == b"new"
    assert Checkpoints(tmp_path / "none").paths() == []
