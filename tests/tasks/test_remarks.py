"""What a user should know of a run whose weights are used."""

from pathlib import Path

from support.trained import card, make_run

from resnetctl import runs
from resnetctl.runs.group import create_group
from resnetctl.system import settings
from resnetctl.tasks import remarks, targets


def group_of_one(folder: Path) -> runs.RunDir:
    create_group(folder, "five", plan={"keys": [], "points": {"0": {}}}, configs={"0-seed0": ""})
    return runs.create(folder / "five", "0-seed0", config="", sources={}, env={"created": "2026-02-01T00:00:00.000Z"})


def test_a_newer_run_in_a_group_is_told_of_the_last_run(machine: Path) -> None:
    folder = settings.load().runs_dir
    alone = runs.create(folder, "alone", config="", sources={}, env={"created": "2026-01-01T00:00:00.000Z"})
    assert list(remarks.on_last(alone, folder)) == []
    group_of_one(folder)
    (said,) = remarks.on_last(alone, folder)
    assert said == "alone is the last run outside of groups; five/0-seed0 is newer: name it to use it"


def test_an_older_run_in_a_group_is_not(machine: Path) -> None:
    folder = settings.load().runs_dir
    group_of_one(folder)
    alone = runs.create(folder, "alone", config="", sources={}, env={"created": "2026-03-01T00:00:00.000Z"})
    assert list(remarks.on_last(alone, folder)) == []


def test_a_finished_run_needs_no_remark_and_a_failed_one_does(machine: Path) -> None:
    run = make_run(card())
    assert list(remarks.on_weights(run)) == []
    failed = make_run(card(), name="second", finished=False)
    failed.save_failure("the loss is NaN")
    assert list(remarks.on_weights(failed)) == ["runs/second failed after epoch 0: using the last good weights"]


def test_only_who_asks_for_the_last_run_is_told(machine: Path) -> None:
    make_run(card())
    group_of_one(settings.load().runs_dir)
    newer = "first is the last run outside of groups; five/1-seed1 is newer: name it to use it"
    future = {"created": "2999-02-01T00:00:00.000Z"}
    runs.create(settings.load().runs_dir / "five", "1-seed1", config="", sources={}, env=future)
    for target in (None, "last"):
        assert targets.resolve(target, settings.load()).notices == (newer,)
    assert targets.resolve("first", settings.load()).notices == ()
