"""The ledger counts distinct weights, survives a killed writer, and loses no line when processes write at once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from resnetctl.errors import UsageError
from resnetctl.trust.looks import Look, ledger, record


def look(weights: str) -> Look:
    return Look(weights=weights, target=f"{weights}.onnx", data="zoo", correct=9, count=10)


def test_each_set_of_weights_is_one_line(tmp_path: Path) -> None:
    assert [record(tmp_path, "d1g", look=look(name)) for name in ("a", "b", "a", "a", "c")] == [1, 2, 2, 2, 3]
    lines = ledger(tmp_path, "d1g").read_text().splitlines()
    assert [json.loads(line)["weights"] for line in lines] == ["a", "b", "c"]
    assert json.loads(lines[0]) == {"weights": "a", "target": "a.onnx", "data": "zoo", "correct": 9, "count": 10}


def test_another_split_has_another_ledger(tmp_path: Path) -> None:
    record(tmp_path, "one", look=look("a"))
    assert record(tmp_path, "two", look=look("b")) == 1


def test_half_a_line_of_a_killed_process_spoils_no_other(tmp_path: Path) -> None:
    record(tmp_path, "d", look=look("a"))
    with ledger(tmp_path, "d").open("ab") as file:
        file.write(b'{"weights": "hal')
    assert record(tmp_path, "d", look=look("b")) == 2
    assert record(tmp_path, "d", look=look("b")) == 2


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from resnetctl.trust.looks import Look, record\n"
        "for n in range(5):\n"
        "    look = Look(weights=f'{sys.argv[2]}-{n}', target='t', data='d', correct=1, count=2)\n"
        "    record(Path(sys.argv[1]), 'd', look=look)"
    )
    started = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(name)]) for name in range(3)]
    assert [process.wait(timeout=120) for process in started] == [0, 0, 0]
    assert record(tmp_path, "d", look=look("last")) == 16


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "looks").write_text("in the way")
    with pytest.raises(UsageError, match="cannot write"):
        record(tmp_path, "d", look=look("a"))
