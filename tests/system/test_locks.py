"""A lock file keeps others away, and ends with its process."""

import subprocess
import sys
from pathlib import Path

import pytest

from resnetctl.errors import UsageError
from resnetctl.system import locks

HOLD = """
import sys; from pathlib import Path; from resnetctl.system import locks
with locks.lock(Path(sys.argv[1]), owner="x"): print("held", flush=True); sys.stdin.readline()
"""


def test_a_lock_excludes_other_processes_and_ends_with_its_process(tmp_path: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        held = pytest.raises(UsageError, match="run 'a' is in use by another process")
        with held, locks.lock(tmp_path / "lock", owner="run 'a'"):
            pass
        other.kill()
        other.wait()
    with locks.lock(tmp_path / "lock", owner="run 'a'"):
        pass


def test_a_lock_that_this_process_holds_says_so(tmp_path: Path) -> None:
    other = pytest.raises(UsageError, match="run 'a' is in use by this process")
    with (
        locks.lock(tmp_path / "lock", owner="run 'a'"),
        other as caught,
        locks.lock(tmp_path / "lock", owner="run 'a'"),
    ):
        pass
    assert "close()" in str(caught.value)
    with locks.lock(tmp_path / "lock", owner="run 'a'"):
        pass


def test_a_lock_is_released_after_an_error(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="no"), locks.lock(tmp_path / "lock", owner="x"):
            raise ValueError("no")


def test_a_growing_file_keeps_its_bytes_after_a_failure(tmp_path: Path) -> None:
    def cut() -> None:
        with locks.growing_file(tmp_path / "new" / "part", owner="download") as file:
            file.write(b"one")
            raise ValueError("cut")

    with pytest.raises(ValueError, match="cut"):
        cut()
    with locks.growing_file(tmp_path / "new" / "part", owner="download") as file:
        assert file.tell() == 3
        file.write(b"two")
    assert (tmp_path / "new" / "part").read_bytes() == b"onetwo"


def test_a_growing_file_has_one_writer(tmp_path: Path) -> None:
    with locks.growing_file(tmp_path / "part", owner="download of x"):
        held = pytest.raises(UsageError, match="download of x is in use")
        with held, locks.growing_file(tmp_path / "part", owner="download of x"):
            pass
