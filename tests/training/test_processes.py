"""Before the first step, processes compare what they train and choose how gradients are summed."""

import dataclasses
from typing import Any

import pytest
from support.jobs import job
from support.teams import together
from support.tiny_runs import notice_texts

from resnetctl.engine.distributed import Team
from resnetctl.engine.loop import TrainState
from resnetctl.errors import PeerFailed, UsageError
from resnetctl.training import processes
from resnetctl.training.job import Job, fresh_model, fresh_state
from resnetctl.training.processes import ready

SETS = ("shards=2", "threads=1")


def settled(*sets: str) -> tuple[Job, TrainState]:
    value = job(*SETS, *sets)
    return value, fresh_state(value, fresh_model(value))


def texts(settled_job: Job, state: TrainState, **changes: Any) -> list[Any]:
    """Return the notices of each of two processes."""

    def work(team: Team) -> tuple[str, bool]:
        for name, value in changes.items():
            setattr(team, name, value)
        return notice_texts(ready(settled_job, state, team=team)), team.is_ordered

    return together(2, work)


def test_one_process_compares_nothing() -> None:
    settled_job, state = settled()
    assert list(ready(settled_job, state, team=Team())) == []


def test_small_gradients_are_summed_in_shard_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "cores_granted", lambda: 8)
    monkeypatch.setattr(processes, "STEP_MACS", 1.0)
    assert texts(*settled()) == [("", True)] * 2


def test_large_gradients_are_summed_fast_and_a_notice_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "FAST_BYTES", 1000)
    for text, is_ordered in texts(*settled()):
        assert "the result depends on the number of processes" in text
        assert not is_ordered
    assert texts(*settled(), reduce="ordered")[0][1]
    assert not texts(*settled(), reduce="fast")[0][1]


def test_a_notice_says_when_one_process_may_be_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "cores_granted", lambda: 1)
    assert "2 processes with 1 thread each share 1 core" in texts(*settled())[0][0]
    monkeypatch.setattr(processes, "cores_granted", lambda: 2)
    monkeypatch.setattr(processes, "ORDERED_SECONDS", 1.0)
    assert "one process may be faster: messages of 1.1 MB" in texts(*settled())[0][0]


@pytest.mark.parametrize(("sets", "what"), [(["lr=0.5"], "config"), (["seed=3"], "first weights")])
def test_other_configs_and_weights_are_named(sets: list[str], what: str) -> None:
    first, second = settled(), settled(*sets)

    def work(team: Team) -> None:
        list(ready(*(second if team.rank else first), team=team))

    error, other = together(2, work)
    assert isinstance(error, UsageError)
    assert f"process 1 has other {what} than process 0" in error.problems
    assert isinstance(other, PeerFailed)


def test_processes_that_cannot_share_the_shards_are_refused() -> None:
    settled_job, state = settled("shards=3")
    assert all(isinstance(error, UsageError) for error in texts(settled_job, state))


def test_other_data_is_named() -> None:
    settled_job, state = settled()
    card = dataclasses.replace(settled_job.store.card, digests={"train": "0" * 64})
    other = dataclasses.replace(settled_job, store=dataclasses.replace(settled_job.store, card=card))
    error, _ = together(2, lambda team: list(ready(other if team.rank else settled_job, state, team=team)))
    assert isinstance(error, UsageError)
    assert error.problems == ("process 1 has other data than process 0",)
