"""`runs list` and `runs show`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]


@pytest.fixture
def two_runs(machine: Path) -> Path:
    for name, top1 in (("a", 0.5), ("b", 0.75)):
        folder = machine / "runs" / name
        folder.mkdir(parents=True)
        (folder / "config.toml").write_text('data = "digits"\nepochs = 3\n[model]\narch = "resnet20"\n')
        (folder / "metrics.jsonl").write_text(f'{{"epoch": 1, "val_top1": {top1}}}\n')
    (machine / "runs" / "last").symlink_to("b", target_is_directory=True)
    return machine / "runs"


def test_list(cli: Cli, two_runs: Path) -> None:
    assert cli("runs", "list").out.splitlines() == [
        "name\tstatus\tarch\tdata\tepochs\tval acc",
        "a\tunfinished\tresnet20\tdigits\t1\t50.0 %",
        "b\tunfinished\tresnet20\tdigits\t1\t75.0 %",
    ]


def test_list_as_json(cli: Cli, two_runs: Path) -> None:
    document = cli("runs", "list", "--json").json()
    assert document["schema"] == "resnetctl.runs.list/1"
    assert [row["val_top1"] for row in document["runs"]] == [0.5, 0.75]


def test_no_run_yet(cli: Cli) -> None:
    result = cli("runs", "list")
    assert result.code == 0
    assert "resnetctl train --data digits" in result.err
    assert result.out.count("\n") == 1


def test_show_the_newest(cli: Cli, two_runs: Path) -> None:
    lines = cli("runs", "show").out.splitlines()
    assert "val acc         75.0 %" in lines
    assert any(line.split() == ["metrics.jsonl", "31", "B"] for line in lines)


def test_show_as_json(cli: Cli, two_runs: Path) -> None:
    document = cli("runs", "show", "a", "--json").json()
    assert document["schema"] == "resnetctl.runs.show/1"
    assert document["metrics"] == [{"epoch": 1, "val_top1": 0.5}]
    assert document["summary"] is None


def test_a_missing_run(cli: Cli, two_runs: Path) -> None:
    result = cli("runs", "show", "c")
    assert result.code == 3
    assert result.err.startswith("error: there is no run 'c'\n")
