"""The baselines have the right units. No speed is asserted."""

import subprocess

import pytest
import torch

from resnetctl.tasks.bench import baselines
from resnetctl.tasks.bench.baselines import COPIED, SIDE, copy, repeated, sgemm, start_up

CPU = torch.device("cpu")


def test_repeated_returns_work_divided_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(baselines.time, "perf_counter", lambda: now[0])

    def work() -> float:
        now[0] += 0.5
        return 3.0

    assert repeated(work, seconds=2.0) == 6.0
    assert repeated(work, seconds=0.0) == 6.0  # at least once


def test_a_product_and_a_copy_return_their_amount_of_work(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sgemm(CPU)() == 2 * SIDE**3 / 1e9
    monkeypatch.setattr(baselines, "COPIED", 1 << 20)
    assert copy(CPU)() == pytest.approx(2 * (1 << 20) / 1e9)
    assert COPIED > 32 * 2**20, "a copy that fits a cache measures the cache"


def test_start_up_runs_the_commands_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(baselines, "_process", lambda arguments: float(ran.append(arguments) or len(ran)))
    spreads = start_up(seconds=60, rounds=3)
    assert list(spreads) == list(baselines.START_UP)
    assert {item.n for item in spreads.values()} == {3}
    assert ran[:4] == list(baselines.START_UP.values())


def test_a_process_is_timed_from_outside() -> None:
    assert baselines._process(("-c", "pass")) > 0


def test_a_process_that_fails_is_no_time() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        baselines._process(("-c", "raise SystemExit(3)"))


def test_a_copy_copies_and_a_product_is_of_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "COPIED", 4096)
    monkeypatch.setattr(baselines, "SIDE", 4)
    made: list[torch.Tensor] = []
    ones = torch.ones
    monkeypatch.setattr(torch, "ones", lambda *a, **k: made.append(ones(*a, **k)) or made[-1])
    assert copy(CPU)() == 2 * 4096 / 1e9
    assert made[0].numel() * made[0].element_size() == 4096
    assert sgemm(CPU)() == 2 * 4**3 / 1e9
