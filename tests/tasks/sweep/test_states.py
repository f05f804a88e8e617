"""How far a group is, and the error when all its runs have failed."""

from pathlib import Path

import pytest
from support.groups import grouped, worked

from resnetctl.errors import WorkFailed
from resnetctl.hints import Call
from resnetctl.runs.group import Group
from resnetctl.tasks.sweep.states import progress, reason, require_success


def fail(group: Group, name: str, message: str) -> None:
    """Leave the run as a training with broken numbers leaves it."""
    group.run(name).path.mkdir()
    group.run(name).save_config("", {})
    group.run(name).save_failure(message)


def test_a_group_whose_runs_all_failed_is_work_that_failed(tmp_path: Path) -> None:
    group = grouped("data=digits", seeds=2)
    fail(group, "0-seed0", "step 1: the loss is not finite")
    require_success(group)  # a run is left
    fail(group, "1-seed1", "step 9: the loss is not finite")
    with pytest.raises(WorkFailed, match="2 runs of the group failed, and none has finished") as caught:
        worked(group)
    assert caught.value.exit_code == 1
    assert caught.value.problems == ("0-seed0: step 1: the loss is not finite",)
    first = caught.value.hint[0]
    assert isinstance(first, Call)
    assert (first.verb, first.targets) == ("runs show", (group.path / "0-seed0",))


def test_one_finished_run_is_enough(tmp_path: Path) -> None:
    group = grouped("data=digits", seeds=2)
    for name in group.names():
        fail(group, name, "broken")
    group.run("1-seed1").save_summary({"epochs": 1})
    require_success(group)
    assert progress(group) == {"finished": 1, "failed": 1, "begun": 0, "waiting": 0}


def test_the_reason_of_a_damaged_run_is_what_cannot_be_read(tmp_path: Path) -> None:
    group = grouped("data=digits", seeds=1)
    fail(group, "0-seed0", "broken")
    assert reason(group, "0-seed0") == "broken"
    (group.run("0-seed0").path / "failure.json").write_text("{")
    assert reason(group, "0-seed0") == "the reason is not known"
