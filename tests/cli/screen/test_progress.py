"""The screen shows lines above a footer, and progress."""

import itertools
from collections.abc import Generator

import pytest

from resnetctl.cli.screen import progress as screen
from resnetctl.cli.screen.progress import Screen, bar, progress_line, sparkline, watch
from resnetctl.facts import Notice, Progress


def progress(done: int, total: int | None = 100, unit: str = "images") -> Progress:
    return Progress(what="reading", done=done, total=total, unit=unit)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(screen.time, "monotonic", lambda: now[0])
    return now


def test_the_footer_is_redrawn_at_most_four_times_a_second(
    terminal: None, clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    calls = itertools.count()
    shown = Screen()
    for tick in range(101):
        clock[0] = tick * 0.01
        shown.footer(lambda: [f"line {next(calls)}"])
    assert next(calls) == 5
    assert capsys.readouterr().err.count("\x1b[1F\x1b[J") == 4


def test_a_line_goes_above_the_footer(terminal: None, capsys: pytest.CaptureFixture[str]) -> None:
    with Screen() as shown:
        shown.footer(lambda: ["one", "two"])
        shown.line("stays")
        shown.footer(lambda: ["three"])
    assert capsys.readouterr().err == "one\ntwo\n\x1b[2F\x1b[Jstays\nthree\n\x1b[1F\x1b[J"


def test_an_error_removes_the_footer(terminal: None, capsys: pytest.CaptureFixture[str]) -> None:
    shown = Screen()
    shown.footer(lambda: ["one"])
    with pytest.raises(KeyError), shown:
        raise KeyError
    assert capsys.readouterr().err.endswith("\x1b[1F\x1b[J")


def test_long_footers_are_clipped_so_that_they_do_not_wrap(
    terminal: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    Screen().footer(lambda: ["x" * 200])
    assert capsys.readouterr().err == "x" * 49 + "\n"


def test_without_a_terminal_there_is_no_footer_and_no_escape(capsys: pytest.CaptureFixture[str]) -> None:
    def never() -> list[str]:
        raise AssertionError("drawn")

    shown = Screen()
    shown.footer(never, now=True)
    for done in (0, 50, 100, 100):
        shown.progress(progress(done))
    assert capsys.readouterr().err == "reading ...\nreading: 100 images\n"


def test_a_second_kind_of_progress_gets_its_own_line(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Screen()
    shown.progress(Progress(what="downloading", done=1, total=None, unit="B"))
    shown.progress(progress(100))
    assert capsys.readouterr().err == "downloading ...\nreading ...\nreading: 100 images\n"


@pytest.mark.parametrize(
    ("fact", "line"),
    [
        (progress(50), "reading " + "━" * 15 + " " * 15 + " 50/100 images"),
        (progress(1234, None), "reading 1,234 images"),
        (progress(12_300_000, 170_500_000, "B"), "reading " + "━━" + " " * 28 + " 12.3 MB/170.5 MB"),
        (progress(0, 0), "reading 0/0 images"),
    ],
)
def test_a_progress_line_has_a_bar_and_amounts(fact: Progress, line: str) -> None:
    assert progress_line(fact, 80) == line


@pytest.mark.parametrize(("unit", "one"), [("plugins", "1 plugin"), ("boxes", "1 box"), ("images", "1 image")])
def test_one_of_a_kind_is_told_in_the_singular(unit: str, one: str) -> None:
    assert progress_line(progress(1, None, unit), 80).endswith(one)
    assert progress_line(progress(2, None, unit), 80).endswith(f"2 {unit}")


def test_a_bar_is_filled_to_its_share() -> None:
    assert bar(0.5, 4) == "━━  "
    assert bar(7.0, 2) == "━━"
    assert bar(0.5, -3) == ""


def test_a_sparkline_spans_minimum_to_maximum() -> None:
    assert sparkline([0.1, 0.5, 0.9], 10) == "▁▅█"
    assert sparkline([5, 1, 2], 2) == "▁█"
    assert sparkline([3, 3], 5) == "▁▁"
    assert sparkline([], 5) == ""


def test_watch_shows_facts_and_returns_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> Generator[Notice | Progress, None, int]:
        yield Notice(text="a \x1b[2J word")
        yield progress(100)
        return 7

    assert watch(work()) == 7
    assert capsys.readouterr().err == "a \\x1b[2J word\nreading ...\nreading: 100 images\n"
