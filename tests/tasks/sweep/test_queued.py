"""A config in the queue keeps the origin of each value."""

from pathlib import Path

import pytest

from resnetctl.config.layers import Layer
from resnetctl.errors import ConfigError
from resnetctl.tasks.sweep.queued import from_queue, to_text

VALUES = {
    "lr": 0.1,
    "data": "a  # b\nc",
    "augment_args.reach": 0.2,
    "schedule.milestones": [0.5, 0.75],
    "optim.nesterov": True,
}


def test_values_and_origins_read_back(tmp_path: Path) -> None:
    origins = dict.fromkeys(VALUES, "--set") | {"lr": "flag --lr", "data": "my  # file.toml:3"}
    (tmp_path / "0.toml").write_text(to_text(Layer(VALUES, origins)))
    read = from_queue(tmp_path / "0.toml")
    assert read.values == VALUES
    assert read.origins == origins | {"data": "file.toml:3"}
    assert "lr = 0.1  # flag --lr" in (tmp_path / "0.toml").read_text()


def test_an_origin_cannot_break_the_file(tmp_path: Path) -> None:
    (tmp_path / "0.toml").write_text(to_text(Layer({"lr": 0.1}, {"lr": "a\nseed = 1\x07"})))
    assert from_queue(tmp_path / "0.toml").values == {"lr": 0.1}


def test_a_file_without_comments_names_its_lines(tmp_path: Path) -> None:
    (tmp_path / "0.toml").write_text("lr = 0.1\n")
    assert from_queue(tmp_path / "0.toml").origins == {"lr": f"{tmp_path / '0.toml'}:1"}
    with pytest.raises(ConfigError):
        from_queue(tmp_path / "1.toml")
