"""A difference of two runs names config, versions, machine, data, and the first epoch whose numbers differ."""

from pathlib import Path
from typing import Any

import pytest

from resnetctl.errors import ConfigError
from resnetctl.runs import RunDir, create
from resnetctl.tasks.runs.difference import Changed, diff, parting

ENV = {
    "created": "2026-11-25T09:00:00.000Z",
    "command": ["train"],
    "resnetctl": "0.1.0",
    "packages": {"torch": "2.11.0", "numpy": "2.4.0"},
    "machine": {"threads": 1},
    "plugins": {},
    "data": {"name": "digits", "digests": {"train": "ab", "test": "cd"}},
}


def run(folder: Path, name: str, *, config: str = "", **env: Any) -> RunDir:
    sources = {"data": "default"} | ({"lr": "argument lr"} if "lr" in config else {})
    return create(folder, name, config='data = "digits"\n' + config, sources=sources, env=ENV | env)


def test_only_what_differs_is_named_with_its_origin(tmp_path: Path) -> None:
    one = run(tmp_path, "one")
    other = run(
        tmp_path,
        "two",
        config="lr = 0.2\n",
        packages={"torch": "2.12.0", "numpy": "2.4.0"},
        plugins={"resnetctl-mix": "0.1.0"},
        machine={"threads": 2},
        data={"name": "digits", "digests": {"train": "ef", "test": "cd"}},
        command=["train", "--lr", "0.2"],
    )
    report = diff(one, other)
    assert report.runs == ("one", "two")
    assert report.config == (Changed(key="lr", values=(None, 0.2), origins=(None, "argument lr")),)
    assert report.versions == {"packages.torch": ("2.11.0", "2.12.0"), "plugins.resnetctl-mix": (None, "0.1.0")}
    assert report.machine == {"machine.threads": (1, 2)}
    assert report.data == {"data.digests.train": ("ab", "ef")}
    document = report.to_json()
    assert document["schema"] == "resnetctl.runs.diff/1"
    assert document["config"] == [{"key": "lr", "values": [None, 0.2], "origins": [None, "argument lr"]}]


def test_runs_of_groups_are_named_with_their_group(tmp_path: Path) -> None:
    for group in ("lo", "hi"):
        (tmp_path / group / "queue").mkdir(parents=True)
        (tmp_path / group / "sweep.json").write_text("{}")
    assert diff(run(tmp_path / "lo", "0"), run(tmp_path / "hi", "0")).runs == ("lo/0", "hi/0")


def test_equal_runs_have_no_difference(tmp_path: Path) -> None:
    one, other = run(tmp_path, "one"), run(tmp_path, "two")
    for each in (one, other):
        each.log({"epoch": 1, "val_top1": 0.5}, {"epoch": 1, "seconds": 1.0})
    report = diff(one, other)
    assert (report.config, report.versions, report.machine, report.data) == ((), {}, {}, {})
    assert (report.curves.equal, report.curves.epoch) == (1, None)


def test_a_run_without_its_environment_is_compared_by_the_rest(tmp_path: Path) -> None:
    one, other = run(tmp_path, "one"), run(tmp_path, "two")
    (other.path / "env.json").write_text("{")
    report = diff(one, other)
    assert report.versions["resnetctl"] == ("0.1.0", None)
    (other.path / "config.toml").write_text("= =")
    with pytest.raises(ConfigError):
        diff(one, other)


def test_curves_part_at_the_first_epoch_with_other_numbers() -> None:
    ones = [{"epoch": 1, "train_loss": 1.0}, {"epoch": 2, "train_loss": 0.5, "val_top1": 0.7}, {"epoch": 3}]
    others = [{"epoch": 1, "train_loss": 1.0}, {"epoch": 2, "train_loss": 0.25, "val_top1": 0.7}]
    found = parting(ones, others)
    assert (found.epochs, found.equal, found.epoch) == ((3, 2), 1, 2)
    assert found.numbers == {"train_loss": (0.5, 0.25)}
    longer = parting(ones, ones[:2])
    assert (longer.equal, longer.epoch, longer.numbers) == (2, None, {})
    assert parting([], ones).equal == 0
    assert parting(ones[1:2], [{"epoch": 2, "train_loss": 0.5}]).numbers == {"val_top1": (0.7, None)}
