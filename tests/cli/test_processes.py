"""`--processes` starts others or joins those that a launcher started; one process tells what went wrong."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from resnetctl.__main__ import main
from resnetctl.cli import processes
from resnetctl.cli.parser.option_models import RunOptions
from resnetctl.cli.processes import train_in_processes
from resnetctl.engine import distributed
from resnetctl.engine.distributed import Team
from resnetctl.errors import DataError, NonFinite, PeerFailed, Stopped
from resnetctl.facts import Notice
from resnetctl.system import launcher
from resnetctl.system.ranks import Place

TRAIN = ["train", "--data", "digits", "--shards", "4"]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of processes that were started; they end with code 143."""
    counts: list[int] = []

    def launch(count: int) -> int:
        counts.append(count)
        return 143

    monkeypatch.setattr(launcher, "launch", launch)
    return counts


def test_a_number_of_processes_is_started_and_their_code_returned(started: list[int]) -> None:
    assert main([*TRAIN, "--processes", "2"]) == 143
    assert started == [2]


def test_auto_starts_one_process_a_core(started: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr(processes, "cores_granted", lambda: 3)
    assert main([*TRAIN, "--processes", "auto"]) == 143
    assert started == [2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--processes", "3"], "3 processes cannot share 4 shards evenly"),
        (["--processes", "two"], "'two' is no number of processes"),
        (["--processes", "0"], "'0' is no number of processes"),
        (["--processes", "2", "--budget", "1min"], "--budget times steps of one process"),
        (["--processes", "2", "--tune"], "--tune times steps of one process"),
        (["--processes", "2", "--lr", "-1"], "lr"),
    ],
)
def test_a_wrong_request_is_one_error_before_anything_starts(
    words: list[str], message: str, started: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*TRAIN, *words]) == 2
    assert message in capsys.readouterr().err
    assert started == []


def joined(monkeypatch: pytest.MonkeyPatch, rank: int, *, is_launched: bool = False) -> None:
    """Make this process one of two."""
    place = Place(rank=rank, size=2, local_rank=rank, local_size=2, address="", port=0)
    monkeypatch.setattr(processes.ranks, "place", lambda: place)
    monkeypatch.setattr(distributed, "join", lambda place, *, reduce: Team(place, reduce=reduce))
    monkeypatch.setattr(launcher, "follow_launcher", lambda: is_launched)


def work(error: Exception | None = None) -> Callable[[Team], Iterator[Any]]:
    def facts(team: Team) -> Iterator[Any]:
        yield Notice(f"process {team.rank} of {team.size}, {team.reduce}")
        if error is not None:
            raise error

    return facts


def ended(error: Exception) -> str:
    """Return "told" if an error is left for the boundary to tell, else the exit code."""
    try:
        train_in_processes(RunOptions(), work(error), shards=lambda: 2, verb="train")
    except SystemExit as stop:
        return str(stop.code)
    except type(error):
        return "told"
    raise AssertionError("no error")


@pytest.mark.parametrize(("rank", "words"), [(0, "process 0 of 2, fast"), (1, "")])
def test_process_0_shows_the_facts(
    rank: int, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    joined(monkeypatch, rank)
    train_in_processes(RunOptions(reduce="fast"), work(), shards=lambda: 2, verb="train")
    captured = capsys.readouterr()
    assert captured.err.strip() == words
    assert captured.out == ""


STOPPED = Stopped("stopped", signum=15)
REPORTED, LOST = PeerFailed("failed", is_reported=True), PeerFailed("lost", is_reported=False)


@pytest.mark.parametrize(
    ("rank", "error", "end"),
    [
        (0, STOPPED, "told"),
        (1, STOPPED, "143"),
        (0, NonFinite("nan"), "told"),
        (1, NonFinite("nan"), "1"),
        (0, REPORTED, "1"),
        (1, REPORTED, "1"),
        (0, LOST, "told"),
        (1, LOST, "1"),
        (1, DataError("mine"), "told"),
    ],
)
def test_an_error_is_told_once(rank: int, error: Exception, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    joined(monkeypatch, rank)
    assert ended(error) == end


def test_the_launcher_tells_which_process_was_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    joined(monkeypatch, 0, is_launched=True)
    assert ended(LOST) == "1"
