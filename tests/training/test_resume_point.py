from pathlib import Path

import pytest
from support.nets import make

from resnetctl import runs
from resnetctl.engine import checkpoint
from resnetctl.training.resume_point import differences, newest


@pytest.fixture
def run(machine: Path) -> runs.RunDir:
    return runs.create(machine / "runs", "one", config="", sources={}, env={})


def save(run: runs.RunDir, step: int) -> None:
    state, _ = make()
    state.step = step
    run.checkpoints.save(step, checkpoint.to_bytes(state, {}))


def test_the_newest_whole_one_is_taken(run: runs.RunDir) -> None:
    save(run, 4)
    save(run, 8)
    found = newest(run)
    assert found.snapshot is not None
    assert (found.snapshot.step, found.corrupt, found.notices) == (8, {}, [])


def test_a_corrupt_one_is_named_and_left_where_it_is(run: runs.RunDir) -> None:
    save(run, 4)
    save(run, 8)
    path = run.checkpoints.paths()[0]
    path.write_bytes(path.read_bytes()[:-1])
    found = newest(run)
    assert found.snapshot is not None
    assert found.snapshot.step == 4
    assert list(found.corrupt) == ["step-000000008.safetensors"]
    assert "an older one is used" in found.notices[0].text
    assert path.exists()


def test_an_unreadable_one_is_passed_over(run: runs.RunDir) -> None:
    save(run, 4)
    (run.path / "checkpoints" / "step-000000009.safetensors").mkdir()
    found = newest(run)
    assert found.snapshot is not None
    assert found.snapshot.step == 4


def test_without_any_it_says_that_the_run_starts_again(run: runs.RunDir) -> None:
    found = newest(run)
    assert found.snapshot is None
    assert found.notices[0].text == "there is no checkpoint yet: the run starts at step 0"


def test_differences_are_named() -> None:
    assert differences({"torch": "1", "threads": 2}, {"torch": "2", "threads": 2, "new": 1}) == ["torch 1 -> 2"]
    assert differences({"plugin": "1"}, {}) == ["plugin 1 -> None"]
