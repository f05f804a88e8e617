"""`runs list` and `runs show` print runs from their files."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from resnetctl.cli.commands import runs as list_of_runs

Cli = Callable[..., Any]


@pytest.fixture
def two_runs(machine: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TZ", "UTC-1")  # an hour ahead, as POSIX counts
    time.tzset()
    for name, top1, minute in (("a", 0.5, 6), ("b", 0.75, 5)):
        folder = machine / "runs" / name
        folder.mkdir(parents=True)
        (folder / "config.toml").write_text('data = "digits"\nepochs = 3\n[model]\narch = "resnet20"\n')
        (folder / "env.json").write_text(f'{{"created": "2026-11-25T09:0{minute}:00.000Z"}}')
        (folder / "metrics.jsonl").write_text(f'{{"epoch": 1, "val_top1": {top1}}}\n')
    (machine / "runs" / "last").symlink_to("a", target_is_directory=True)
    yield machine / "runs"
    monkeypatch.undo()
    time.tzset()


def test_list_prints_a_row_for_each_run(cli: Cli, two_runs: Path) -> None:
    assert cli("runs", "list").out.splitlines() == [
        "name\tstatus\tarch\tdata\tepochs\tval acc\tstarted",
        "b\tunfinished\tresnet20\tdigits\t1/3\t75.0 %\t2026-11-25 10:05",
        "a\tunfinished\tresnet20\tdigits\t1/3\t50.0 %\t2026-11-25 10:06",
    ]


def test_columns_left_out_of_a_narrow_list_exist(cli: Cli, two_runs: Path) -> None:
    columns = set(cli("runs", "list").out.splitlines()[0].split("\t"))
    assert set(list_of_runs.DROPPED) == set(list_of_runs.DROPPED_WITH_BLOCKS) < columns


def test_a_replaced_block_is_shown_with_the_arch(cli: Cli, two_runs: Path) -> None:
    config = two_runs / "a" / "config.toml"
    config.write_text(config.read_text() + 'block = "se_basic"\n')
    (two_runs / "a" / "config.sources.json").write_text('{"model.block": "--set"}')
    assert cli("runs", "list").out.splitlines()[2].split("\t")[2] == "resnet20 + se_basic"
    assert "arch     resnet20 + se_basic" in cli("runs", "show", "a").out.splitlines()


def test_a_failed_run_shows_its_reason(cli: Cli, two_runs: Path) -> None:
    (two_runs / "b" / "failure.json").write_text('{"message": "step 7: the output of layer \'stem\' is not finite"}')
    assert cli("runs", "list").out.splitlines()[1].split("\t")[1] == "failed"
    lines = cli("runs", "show", "b").out.splitlines()
    assert "failure  step 7: the output of layer 'stem' is not finite" in lines


def test_list_prints_json(cli: Cli, two_runs: Path) -> None:
    document = cli("runs", "list", "--json").json()
    assert document["schema"] == "resnetctl.runs.list/1"
    assert [row["val_top1"] for row in document["runs"]] == [0.75, 0.5]
    assert document["runs"][0]["created"] == "2026-11-25T09:05:00.000Z"


def test_an_empty_list_names_a_first_command(cli: Cli) -> None:
    result = cli("runs", "list")
    assert result.code == 0
    assert "resnetctl train --data digits" in result.err
    assert result.out.count("\n") == 1


def test_show_prints_the_newest_run(cli: Cli, two_runs: Path) -> None:
    lines = cli("runs", "show").out.splitlines()
    assert "val acc  50.0 %" in lines
    assert any(line.split() == ["metrics.jsonl", "30", "B"] for line in lines)


def test_show_prints_json(cli: Cli, two_runs: Path) -> None:
    document = cli("runs", "show", "a", "--json").json()
    assert document["schema"] == "resnetctl.runs.show/1"
    assert document["metrics"] == [{"epoch": 1, "val_top1": 0.5}]
    assert document["summary"] is None


def test_a_missing_run_is_exit_3(cli: Cli, two_runs: Path) -> None:
    result = cli("runs", "show", "c")
    assert result.code == 3
    assert result.err.startswith("error: there is no run 'c'\n")
