"""A run in stages is a run only when its last stage is copied."""

from pathlib import Path

import pytest

from resnetctl import runs
from resnetctl.errors import InputError, UsageError
from resnetctl.runs.staged import StagedRun, begin, is_begun
from resnetctl.system import storage
from resnetctl.system.exchange import TEMPORARY


def stage(staged: StagedRun, name: str) -> runs.RunDir:
    run = runs.create(staged.stages, name, config="seed = 1", sources={"seed": "x"}, env={}, first=b"first")
    run.save_weights(b"weights")
    run.log({"epoch": 1}, {"epoch": 1, "seconds": 2.0})
    run.save_summary({"status": "finished", "epochs": 1})
    return run


def test_a_run_is_begun_with_its_plan_and_found_when_it_is_published(tmp_path: Path) -> None:
    staged = begin(tmp_path, "small", plan={"target": "a"})
    assert staged.plan() == {"target": "a"}
    assert is_begun(tmp_path, "small")
    assert runs.all_runs(tmp_path) == []
    with pytest.raises(InputError, match="the run 'small' is not finished"):
        runs.find("small", tmp_path)
    last = stage(staged, "2-finetune")
    last.checkpoints.save(9, b"newest")
    run = staged.publish(last, {"schema": "s"})
    assert not is_begun(tmp_path, "small")
    assert runs.find("last", tmp_path).path.resolve() == run.path.resolve()
    assert (run.weights.read_bytes(), run.metrics(), run.summary()) == (
        b"weights", [{"epoch": 1}], {"status": "finished", "epochs": 1},
    )  # fmt: skip
    assert [path.read_bytes() for path in run.checkpoints.paths()] == [b"newest"]


def test_a_run_that_cannot_be_written_to_its_end_is_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """config.toml is written last: whatever fails before, the run is not finished, and publishing again mends it."""
    staged = begin(tmp_path, "small", plan={})
    last = stage(staged, "1-cut")
    write, count = storage.write, [0]

    def failing(path: Path, data: bytes) -> None:
        count[0] += 1
        if count[0] == 3:
            raise KeyboardInterrupt
        write(path, data)

    monkeypatch.setattr(storage, "write", failing)
    with pytest.raises(KeyboardInterrupt):
        staged.publish(last, {})
    assert is_begun(tmp_path, "small")
    monkeypatch.setattr(storage, "write", write)
    staged.publish(last, {})
    assert not is_begun(tmp_path, "small")


def test_a_stage_can_be_dropped_and_keeps_what_its_cut_measured(tmp_path: Path) -> None:
    staged = begin(tmp_path, "small", plan={})
    stage(staged, "1-cut")
    staged.save_facts("1-cut", {"params": [2, 1]})
    assert staged.facts("1-cut") == {"params": [2, 1]}
    staged.drop("1-cut")
    staged.drop("1-cut")
    assert not staged.stage("1-cut").path.exists()


def test_one_process_works_on_a_run_and_sweeps_what_was_left(tmp_path: Path) -> None:
    staged = begin(tmp_path, "small", plan={})
    (left := staged.stages / f"{TEMPORARY}left").touch()
    with staged.locked(), pytest.raises(UsageError, match="in use by this process"), staged.locked():
        pass
    assert not left.exists()
    with pytest.raises(UsageError, match="exists"):
        begin(tmp_path, "small", plan={})
