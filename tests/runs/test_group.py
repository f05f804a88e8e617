"""A group is a folder with a queue; the lock of a run says that somebody trains it."""

import threading
import time
from pathlib import Path

import pytest

from resnetctl.errors import InputError, UsageError
from resnetctl.runs.group import Group, create_group, find_group

CONFIGS = {"0-lr0.1": "lr = 0.1\n", "1-lr0.2": "lr = 0.2\n"}
PLAN = {"keys": ["lr"], "halving": 0, "points": {"0-lr0.1": {"lr": 0.1}, "1-lr0.2": {"lr": 0.2}}}


@pytest.fixture
def group(tmp_path: Path) -> Group:
    return create_group(tmp_path, "lr", plan=PLAN, configs=CONFIGS)


def test_a_group_has_a_plan_and_a_config_for_each_run(group: Group) -> None:
    assert group.names() == [*CONFIGS]
    assert [group.config(name).read_text() for name in group.names()] == [*CONFIGS.values()]
    assert {key: group.plan()[key] for key in PLAN} == PLAN
    assert group.run("0-lr0.1").path == group.path / "0-lr0.1"


def test_a_run_is_taken_by_one_worker_at_a_time(group: Group) -> None:
    with group.taken("0-lr0.1") as first, group.taken("0-lr0.1") as second, group.taken("1-lr0.2") as other:
        assert (first, second, other) == (True, False, True)
    with group.taken("0-lr0.1") as again:
        assert again


def test_a_lock_is_freed_when_the_work_fails(group: Group) -> None:
    with pytest.raises(KeyError), group.taken("0-lr0.1"):
        raise KeyError
    with group.taken("0-lr0.1") as again:
        assert again


def test_a_group_that_exists_is_not_replaced(group: Group, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the group 'lr' exists"):
        create_group(tmp_path, "lr", plan=PLAN, configs={})
    assert group.names() == [*CONFIGS]
    (tmp_path / "run").mkdir()
    with pytest.raises(UsageError, match="the run 'run' exists"):
        create_group(tmp_path, "run", plan=PLAN, configs={})


def test_a_group_is_found_by_path_or_name(group: Group, tmp_path: Path) -> None:
    assert find_group(group.path, Path("elsewhere")) == find_group("lr", tmp_path) == group
    with pytest.raises(InputError, match="there is no group 'rl'"):
        find_group("rl", tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        find_group("./rl", tmp_path)
    with pytest.raises(InputError, match="this is not a group of runs"):
        find_group(str(tmp_path), tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "no json",
        '{"schema": "resnetctl.sweep/1", "points": 3}',
        '{"schema": "resnetctl.sweep/1", "points": {"a": {}}}',
        '{"schema": "resnetctl.sweep/1", "keys": [], "points": {}}',
        '{"schema": "resnetctl.sweep/1", "keys": [], "points": {"a": 3}}',
        '{"schema": "resnetctl.sweep/1", "keys": [], "points": {"a": {}}, "halving": "3"}',
        '{"schema": "resnetctl.sweep/2", "keys": [], "points": {"a": {}}}',
    ],
)
def test_a_damaged_plan_is_one_clear_error(group: Group, text: str) -> None:
    (group.path / "sweep.json").write_text(text)
    with pytest.raises(InputError):
        group.plan()


@pytest.mark.parametrize("name", ["", "last", ".", "..", ".hidden", "-x", "a/b", "a\\b"])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a run"):
        create_group(tmp_path / "runs", name, plan=PLAN, configs=CONFIGS)
    assert not (tmp_path / "runs").exists()


def test_a_plan_may_have_keys_of_its_own_and_no_halving(tmp_path: Path) -> None:
    plan = {"keys": [], "points": {"0": {}}, "note": "mine"}
    assert create_group(tmp_path, "g", plan=plan, configs={"0": ""}).plan()["note"] == "mine"


def test_the_queue_is_the_folder_and_locks_are_no_runs(group: Group) -> None:
    with group.taken("1-lr0.2"):
        assert (group.path / "queue" / "1-lr0.2.lock").exists()
        assert group.names() == [*CONFIGS]
    (group.path / "queue" / "2-late.toml").write_text("")
    assert group.names() == [*CONFIGS, "2-late"]


def test_a_worker_waits_while_another_adds_a_run(group: Group) -> None:
    began = threading.Event()

    def add() -> None:
        with group.growing() as plan:
            began.set()
            time.sleep(0.6)
            group.write_plan(plan | {"points": {**plan["points"], "2": {}}})

    (other := threading.Thread(target=add)).start()
    assert began.wait(10)
    with group.growing() as plan:
        assert [*plan["points"]] == [*CONFIGS, "2"]
    other.join()
