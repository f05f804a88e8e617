"""`train --seeds` makes a group, and the same line with more seeds makes it larger."""

from pathlib import Path

import pytest
from support.jobs import to_train

from resnetctl import runs
from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.config.layers import from_file
from resnetctl.errors import ConfigError, UsageError
from resnetctl.runs.group import Group
from resnetctl.system import settings
from resnetctl.tasks.sweep.file import SweepFile
from resnetctl.tasks.sweep.points import plan_sweep
from resnetctl.tasks.sweep.seeds import plan_seeds


def planned(folder: Path, *sets: str, seeds: int) -> Group:
    return plan_seeds(to_train(from_sets(["data=digits", *sets]), name="g", out=folder), settings.load(), seeds=seeds)


def test_seeds_begin_with_the_seed_of_the_config(tmp_path: Path) -> None:
    group = planned(tmp_path, "seed=7", "lr=0.3", seeds=5)
    assert group.names() == [f"{number}-seed{7 + number}" for number in range(5)]
    assert from_file(group.config("4-seed11")).values["lr"] == 0.3


def test_seeds_need_a_name() -> None:
    with pytest.raises(UsageError, match="need a name"):
        plan_seeds(to_train(from_sets(["data=digits"])), settings.load(), seeds=2)


def test_the_same_line_with_more_seeds_adds_the_missing_ones(tmp_path: Path) -> None:
    first = planned(tmp_path, "lr=0.3", seeds=2)
    before = first.config("0-seed0").read_bytes()
    group = planned(tmp_path, "lr=0.3", "threads=3", seeds=12)  # another machine may have more threads
    assert group.names() == [f"{number}-seed{number}" for number in range(12)] == [*group.plan()["points"]]
    assert group.config("0-seed0").read_bytes() == before
    assert from_file(group.config("11-seed11")).values["seed"] == 11
    assert planned(tmp_path, "lr=0.3", seeds=3).names() == group.names()  # fewer seeds take none away
    assert planned(tmp_path, "lr=0.3", "seed=11", seeds=2).names()[-1] == "12-seed12"


def test_another_config_is_refused_and_each_difference_named(tmp_path: Path) -> None:
    planned(tmp_path, "lr=0.3", "optim.nesterov=false", "augment=shift", "augment.reach=0.1", seeds=2)
    with pytest.raises(ConfigError, match="another config") as caught:
        planned(tmp_path, "lr=0.2", "epochs=3", "augment=shift", seeds=3)
    assert caught.value.problems == (
        "augment.reach: 0.1 in the group, not set now",
        "epochs: not set in the group, 3 now",
        "lr: 0.3 in the group, 0.2 now",
        "optim.nesterov: False in the group, not set now",
        "steps: not set in the group, 0 now",
    )
    assert caught.value.where == str(tmp_path / "g")
    assert len(Group(tmp_path / "g").names()) == 2


def test_the_value_that_the_runs_have_anyway_may_be_named(tmp_path: Path) -> None:
    group = planned(tmp_path, "lr=0.3", seeds=2)
    config = 'data = "digits"\nlr = 0.3\nepochs = 20\nsteps = 0\n'
    runs.create(group.path, "0-seed0", config=config, sources={}, env={})
    assert planned(tmp_path, "lr=0.3", "epochs=20", seeds=3).names()[-1] == "2-seed2"
    with pytest.raises(ConfigError) as caught:
        planned(tmp_path, "lr=0.3", "epochs=21", seeds=3)
    assert caught.value.problems == ("epochs: 20 in the group, 21 now",)


def test_a_group_of_a_file_gets_no_seeds_from_flags(tmp_path: Path) -> None:
    sweep = SweepFile.model_validate({"seeds": 2, "config": {"data": "digits"}})
    plan_sweep(sweep, settings.load(), name="g", out=tmp_path)
    with pytest.raises(UsageError, match="the group 'g' exists"):
        planned(tmp_path, seeds=3)


def test_an_argument_of_a_block_is_checked_before_the_group_is_written() -> None:
    with pytest.raises(ConfigError, match="shortcot") as caught:
        planned(Path("runs"), "model.block_args.shortcot=A", seeds=2)
    assert caught.value.where is None
    assert not Path("runs/g").exists()
