"""Checkpoint files: the newest two stay."""

from pathlib import Path

from resnetctl.runs.checkpoints import Checkpoints


def test_the_newest_two_are_kept_newest_first(tmp_path: Path) -> None:
    files = Checkpoints(tmp_path / "checkpoints")
    for step in (1, 40, 300):
        files.save(step, b"x")
    assert [path.name for path in files.paths()] == ["step-000000300.safetensors", "step-000000040.safetensors"]


def test_a_corrupt_one_is_dropped_by_name(tmp_path: Path) -> None:
    files = Checkpoints(tmp_path / "checkpoints")
    files.save(1, b"x")
    files.drop("step-000000001.safetensors")
    assert files.paths() == []
