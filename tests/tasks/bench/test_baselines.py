"""What a machine can do: numbers that are there and have their units; none is asserted."""

import mmap
import sys
from pathlib import Path

import pytest
import torch

from resnetctl.tasks.bench import baselines
from resnetctl.tasks.bench.baselines import COPIED, SIDE, Peak, copy, processor, repeated, sgemm, start_up

CPU = torch.device("cpu")


def test_work_a_second_is_work_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(baselines.time, "perf_counter", lambda: now[0])

    def work() -> float:
        now[0] += 0.5
        return 3.0

    assert repeated(work, seconds=2.0) == 6.0
    assert repeated(work, seconds=0.0) == 6.0  # at least once


def test_a_product_and_a_copy_tell_how_much_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sgemm(CPU)() == 2 * SIDE**3 / 1e9
    monkeypatch.setattr(baselines, "COPIED", 1 << 20)
    assert copy(CPU)() == pytest.approx(2 * (1 << 20) / 1e9)
    assert COPIED > 32 * 2**20, "a copy that fits a cache measures the cache"


def test_start_up_runs_commands_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(baselines, "_process", lambda arguments: float(ran.append(arguments) or len(ran)))
    found = start_up(seconds=60, rounds=3)
    assert list(found) == list(baselines.START_UP)
    assert {item.n for item in found.values()} == {3}
    assert ran[:4] == list(baselines.START_UP.values())


def test_a_process_is_timed_from_outside() -> None:
    assert baselines._process(("-c", "pass")) > 0


def test_the_processor_has_a_name() -> None:
    assert processor().strip()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells mapped pages from others")
def test_memory_grows_by_what_is_held_at_the_highest() -> None:
    peak = Peak()
    with mmap.mmap(-1, 64 << 20) as held:  # fresh pages, where torch may give out what it has already
        held.write(bytes(64 << 20))
    grown = peak.grown()
    assert grown is not None
    assert 60 << 20 < grown < 160 << 20  # the bytes that are written are held too
    assert (peak.highest() or 0) > grown


def status(folder: Path, *, high: int, now: int, mapped: int) -> None:
    (folder / "status").write_text(f"Name:\tx\nVmHWM:\t{high} kB\nVmRSS:\t{now} kB\nRssFile:\t{mapped} kB\n")


def test_mapped_files_do_not_count(tmp_path: Path) -> None:
    status(tmp_path, high=100, now=100, mapped=10)
    peak = Peak(tmp_path)
    assert (tmp_path / "clear_refs").read_text() == "5"
    status(tmp_path, high=175, now=150, mapped=40)
    assert peak.grown() == 45 * 1024
    assert peak.highest() == 135 * 1024


@pytest.mark.parametrize("text", [None, "VmHWM:\t1 kB\n", "VmHWM: many kB\n"])
def test_where_the_system_does_not_tell_there_is_no_figure(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "status").write_text(text)
    assert Peak(tmp_path / "proc" if text is None else tmp_path).grown() is None
    assert Peak(tmp_path / "proc" if text is None else tmp_path).highest() is None
