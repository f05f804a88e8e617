"""`slurm` prints a script, or one JSON document."""

import json
from pathlib import Path

import pytest

from resnetctl.__main__ import main


@pytest.fixture(autouse=True)
def config() -> None:
    Path("run.toml").write_text('data = "digits"\nshards = 4\n')


def test_the_script_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["slurm", "run.toml", "--processes", "2", "--time", "90min", "--grace", "30"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("#!/bin/bash\n")
    for line in ("--ntasks=2", "--time=90", "--signal=TERM@30"):
        assert f"#SBATCH {line}\n" in captured.out
    assert captured.err == ""


def test_json_holds_the_script(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["slurm", "run.toml", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["processes"]) == ("resnetctl.slurm/1", 4)
    assert document["script"].endswith('exit "$code"\n')


@pytest.mark.parametrize(("words", "code"), [(["nothing"], 3), (["run.toml", "--processes", "3"], 2), ([], 2)])
def test_a_mistake_is_one_error(words: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["slurm", *words]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("error: ") == 1
