"""`sweep FILE`, `sweep work`, `sweep show` and `train --seeds` as a user types them."""

import json
from pathlib import Path

import pytest
from support.datasets import tiny

from resnetctl.__main__ import main
from resnetctl.runs.group import find_group
from resnetctl.system import settings
from resnetctl.tasks.sweep import file


@pytest.fixture(autouse=True)
def sweep_file() -> None:
    tiny(settings.load().data_dir)
    Path("lr.toml").write_text('[config]\ndata = "tiny"\nepochs = 1\n[vary]\nlr = [0.1, 0.2]\n')


def test_a_file_is_queued_worked_on_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "lr.toml", "--queue-only"]) == 0
    assert "runs/lr: 2 runs" in capsys.readouterr().err
    assert main(["sweep", "work", "lr"]) == 0
    captured = capsys.readouterr()
    assert "run 2 of 2: 1-lr0.2" in captured.err
    assert "runs/lr: 2 finished" in captured.err
    assert captured.out.splitlines()[0].split("\t")[0] == "setting"
    assert main(["sweep", "show", "lr", "--plot", "lr.svg", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["states"]["finished"] == 2
    assert Path("lr.svg").read_text().startswith("<svg")
    assert main(["sweep", "lr.toml"]) == 0
    captured = capsys.readouterr()
    assert "runs/lr: nothing to add: 2 of 2 runs finished" in captured.err
    assert "resnetctl sweep show runs/lr" in captured.out
    Path("lr.toml").write_text(Path("lr.toml").read_text().replace("0.2]", "0.2, 0.3]"))
    assert main(["sweep", "lr.toml", "--queue-only"]) == 0
    assert "runs/lr: 3 runs, 2 of them finished" in capsys.readouterr().err


def test_seeds_of_one_run_are_a_group(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "--data", "tiny", "-e", "1", "--seeds", "2", "--name", "two"]
    assert main(words) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1].split("\t")[0] == "all runs"
    assert out[1].split("\t")[3] == "2"
    assert find_group("two", Path("runs")).names() == ["0-seed0", "1-seed1"]
    assert find_group("two", Path("runs")).run("1-seed1").sources()["epochs"] == "flag --epochs"
    assert main([*words[:-3], "3", "--name", "two"]) == 0  # the same line with more seeds
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1].split("\t")[3] == "3"
    assert "run 3 of 3: 2-seed2" in captured.err
    assert "run 1 of" not in captured.err
    assert main([*words, "--lr", "0.5"]) == 2
    assert "lr: 0.05 in the group, 0.5 now" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds", "2"], "several seeds need a name"),
        (["--seeds", "2", "--name", "g", "--tune"], "is for one run"),
        (["--seeds", "2", "--name", "g", "--processes", "2"], "is for one run"),
    ],
)
def test_what_seeds_cannot_do_is_refused(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--data", "tiny", "--shards", "2", *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("words", "code"), [(["nothing.toml"], 3), (["work", "nothing"], 3), (["show", "nothing"], 3)])
def test_a_group_that_does_not_exist_is_one_error(words: list[str], code: int) -> None:
    assert main(["sweep", *words]) == code


def test_halving_on_the_command_line_is_stronger_than_the_file() -> None:
    assert main(["sweep", "lr.toml", "--queue-only", "--halving", "2"]) == 0
    assert find_group("lr", Path("runs")).plan()["halving"] == 2
    assert file.read_sweep(Path("lr.toml")).halving == 0


def test_a_group_in_which_every_run_fails_exits_1_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "--data", "tiny", "-e", "1", "--lr", "1e30", "--set", "warmup=0", "--seeds", "2", "--name", "bad"]
    for command in (words, words, ["sweep", "work", "bad"]):
        assert main(command) == 1
        captured = capsys.readouterr()
        assert "error: 2 runs of the group failed, and none has finished\n  - 0-seed0: step " in captured.err
        assert "resnetctl runs show runs/bad/0-seed0" in captured.err
        assert "--plot" not in captured.out
    assert main(["sweep", "show", "bad", "--against", "bad"]) == 2
    err = capsys.readouterr().err
    assert "  - 2 of 2 runs failed; 0-seed0: step " in err
    assert "--seeds" not in err
