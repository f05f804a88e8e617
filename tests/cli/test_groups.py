"""The table of a group says what can be said, and what cannot."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from resnetctl.cli.groups import show_results, watched
from resnetctl.errors import WorkFailed
from resnetctl.facts import Finished, Notice
from resnetctl.tasks.sweep.results import AgainstGroup, SettingResult, SweepReport
from resnetctl.trust.seeds import compare_recipes, seed_mean, seed_pairs

BEST = {0: 0.91, 1: 0.93, 2: 0.92}

NONE = SettingResult(values={}, seeds={}, val_top1=None)


def lines(capsys: pytest.CaptureFixture[str], *others: dict[int, float]) -> list[list[str]]:
    """Return the cells of the table of the best setting and others."""
    rows = [BEST, *others]
    found = [
        SettingResult(
            values={"lr": number},
            seeds=seeds,
            val_top1=seed_mean([*seeds.values()]) if seeds else None,
            against_best=seed_pairs(seeds, BEST) if number and seeds else None,
        )
        for number, seeds in enumerate(rows)
    ]
    report = SweepReport(path="runs/g", keys=("lr",), states={"finished": 3, "begun": 0}, settings=tuple(found))
    show_results(report, as_json=False)
    captured = capsys.readouterr()
    assert captured.err.strip() == "runs/g: 3 finished"
    return [line.split("\t") for line in captured.out.splitlines()]


def test_noise_is_named_with_the_seeds_that_would_detect_it(capsys: pytest.CaptureFixture[str]) -> None:
    _, best, other = lines(capsys, {0: 0.905, 1: 0.932, 2: 0.918})
    assert best == ["lr 0", "92.0 %", "1.00", "3", "89.5-94.5", "-"]
    assert other[-1].startswith("-0.17 points, not distinguishable; ")
    assert other[-1].endswith(" seeds would show a difference of 0.3 points in 4 of 5 cases")


def test_a_clear_difference_is_just_named(capsys: pytest.CaptureFixture[str]) -> None:
    _, _, other = lines(capsys, {0: 0.81, 1: 0.831, 2: 0.82})
    assert other[-1] == "-9.97 points, worse"


def test_one_seed_and_no_seed(capsys: pytest.CaptureFixture[str]) -> None:
    _, _, one, none = lines(capsys, {0: 0.9}, {})
    assert one[2:] == ["-", "1", "-", "-1.00 points, not distinguishable; one seed cannot show a difference"]
    assert none == ["lr 2", "-", "-", "0", "-", "-"]


def test_equal_values_have_no_interval(capsys: pytest.CaptureFixture[str]) -> None:
    _, _, equal = lines(capsys, {0: 0.9, 1: 0.92, 2: 0.91})
    assert equal[-1] == "-1.00 points, not distinguishable; all 3 seeds differ by the same"
    _, _, flat = lines(capsys, {0: 0.9, 1: 0.9})
    assert flat[1:5] == ["90.0 %", "0.00", "2", "none: equal values"]
    same = compare_recipes([0.9] * 3, [0.8] * 3)
    report = SweepReport(
        path="runs/g",
        keys=(),
        states={},
        settings=(SettingResult(values={}, seeds=BEST, val_top1=seed_mean([*BEST.values()])),),
        against=AgainstGroup(path="runs/h", settings=("all runs", "all runs"), seeds=same, best=NONE),
    )
    show_results(report, as_json=False)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.endswith("+10.00 points, not distinguishable: equal values of 3 and 3 seeds")


def test_another_group_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    seeds = compare_recipes([0.95, 0.96, 0.94], [0.90, 0.91, 0.92])
    report = SweepReport(
        path="runs/g",
        keys=(),
        states={"finished": 3},
        settings=(SettingResult(values={}, seeds=BEST, val_top1=seed_mean([*BEST.values()])),),
        against=AgainstGroup(path="runs/h", settings=("all runs", "lr 0.2"), seeds=seeds, best=NONE),
    )
    show_results(report, as_json=False)
    assert capsys.readouterr().out.splitlines()[-1] == (
        "all runs against lr 0.2 of runs/h: +4.00 points (+1.73 to +6.27), p = 0.008, better; "
        "Welch's t-test over 3 and 3 seeds"
    )


def test_watching_shows_runs_that_begin_and_end_and_returns_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    def facts() -> Generator[Any, None, str]:
        yield Notice("run 1 of 2: first")
        yield Finished(
            run=Path("runs/g/first"),
            summary={"kept": "best", "best": {"val_top1": 0.912}, "epochs": 3, "seconds": 4.0},
        )
        yield Notice("run 2 of 2: second")
        yield Finished(
            run=Path("runs/g/second"),
            summary={"kept": "last", "last": {"train_loss": 0.1}, "epochs": 1, "seconds": 1.0},
        )
        return "the report"

    assert watched(facts()) == "the report"
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "run 1 of 2: first"
    assert lines[1].startswith("  val accuracy 91.2 %, 3 epochs in ")
    assert lines[2] == "run 2 of 2: second"
    assert lines[3].startswith("  1 epoch in ")


def test_watching_lets_errors_through() -> None:
    def facts() -> Generator[Any, None, str]:
        yield Notice("run 1 of 1: first")
        raise WorkFailed("the disk is full")

    with pytest.raises(WorkFailed, match="the disk is full"):
        watched(facts())


def test_a_group_that_mixes_versions_of_a_plugin_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    setting = SettingResult(values={}, seeds=BEST, val_top1=seed_mean([*BEST.values()]))
    text = "runs/g: the runs were trained with different versions of own: 0.1 for 0-seed0; 0.2 for 1-seed1"
    show_results(SweepReport(path="runs/g", keys=(), states={}, settings=(setting,), plugins=(text,)), as_json=False)
    assert capsys.readouterr().err.startswith(f"{text}\n")


def test_the_keys_that_differ_and_a_longer_run_are_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    setting = SettingResult(values={}, seeds=BEST, val_top1=seed_mean([*BEST.values()]))
    seeds = compare_recipes([0.95, 0.96, 0.94], [0.90, 0.91, 0.92])
    names = ("all runs", "all runs")
    against = AgainstGroup(path="runs/h", settings=names, seeds=seeds, best=NONE, differs=("lr", "warmup"))
    text = "g/0-seed0 trained for 6 epochs, the other seeds for 4 epochs"
    report = SweepReport(path="runs/g", keys=(), states={}, settings=(setting,), against=against, lengths=(text,))
    show_results(report, as_json=False)
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1] == "differs in: lr, warmup"
    assert captured.err.startswith(f"{text}\n")
