from pathlib import Path

import pytest
from support.nets import make

from resnetctl import runs
from resnetctl.engine import checkpoint
from resnetctl.training.newest_checkpoint import differences, newest


@pytest.fixture
def run(machine: Path) -> runs.RunDir:
    return runs.create(machine / "runs", "one", config="", sources={}, env={})


def save(run: runs.RunDir, step: int) -> None:
    state, _ = make()
    state.step = step
    run.checkpoints.save(step, checkpoint.to_bytes(state, {}))


def test_the_newest_whole_checkpoint_is_read(run: runs.RunDir) -> None:
    save(run, 4)
    save(run, 8)
    newest_whole = newest(run)
    assert newest_whole.snapshot is not None
    assert (newest_whole.snapshot.step, newest_whole.corrupt, newest_whole.notices) == (8, {}, [])


def test_a_corrupt_checkpoint_is_named_and_not_removed(run: runs.RunDir) -> None:
    save(run, 4)
    save(run, 8)
    path = run.checkpoints.paths()[0]
    path.write_bytes(path.read_bytes()[:-1])
    newest_whole = newest(run)
    assert newest_whole.snapshot is not None
    assert newest_whole.snapshot.step == 4
    assert list(newest_whole.corrupt) == ["step-000000008.safetensors"]
    assert "an older one is used" in newest_whole.notices[0].text
    assert path.exists()


def test_an_unreadable_checkpoint_is_skipped(run: runs.RunDir) -> None:
    save(run, 4)
    (run.path / "checkpoints" / "step-000000009.safetensors").mkdir()
    newest_whole = newest(run)
    assert newest_whole.snapshot is not None
    assert newest_whole.snapshot.step == 4


def test_without_a_checkpoint_a_notice_says_that_the_run_starts_at_step_0(run: runs.RunDir) -> None:
    newest_whole = newest(run)
    assert newest_whole.snapshot is None
    assert newest_whole.notices[0].text == "there is no checkpoint yet: the run starts at step 0"


def test_if_no_checkpoint_is_whole_no_notice_says_that_an_older_one_is_used(run: runs.RunDir) -> None:
    (run.path / "checkpoints" / "step-000000009.safetensors").mkdir(parents=True)
    texts = [notice.text for notice in newest(run).notices]
    assert texts[0].endswith("it is not used")
    assert texts[1] == "no checkpoint is whole: the run starts at step 0"


def test_differences_are_named() -> None:
    assert differences({"torch": "1", "threads": 2}, {"torch": "2", "threads": 2, "new": 1}) == ["torch 1 -> 2"]
    assert differences({"plugin": "1"}, {}) == ["plugin 1 -> none"]
