"""The launcher starts processes, passes signals on, returns their code, and leaves no process behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from resnetctl.errors import WorkFailed
from resnetctl.system import launcher

CHILD = "import os, signal, sys, time\nrank = int(os.environ['RANK'])\n"
FOLLOW = "from resnetctl.system.launcher import follow_launcher\nfollow_launcher()\n"
WAIT = "open(f'started-{rank}', 'w').write(str(os.getpid()))\ntime.sleep(60)\n"


def run(program: str, count: int = 2) -> int:
    """Launch `count` processes of Python that run `program`."""
    return launcher.launch(count, [sys.executable, "-c", CHILD + program])


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.02)


def pids(count: int) -> list[int]:
    """Wait until all children have started; return their numbers."""
    files = [Path(f"started-{rank}") for rank in range(count)]
    until(lambda: all(path.exists() and path.read_text() for path in files))
    return [int(path.read_text()) for path in files]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_each_process_has_its_place() -> None:
    names = "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR"
    assert run(f"open(f'place-{{rank}}', 'w').write(' '.join(os.environ[n] for n in {names}))", 3) == 0
    assert [Path(f"place-{rank}").read_text() for rank in range(3)] == [f"{n} {n} 3 3 127.0.0.1" for n in range(3)]


@pytest.mark.parametrize(("codes", "code"), [([0, 0], 0), ([3, 0], 3), ([0, 4], 4), ([143, 1], 143)])
def test_the_code_is_that_of_process_0_or_else_of_the_first_that_failed(codes: list[int], code: int) -> None:
    assert run(f"sys.exit({codes}[rank])") == code


def test_the_code_is_not_that_of_a_process_that_waited_for_the_one_that_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(launcher, "GRACE", 0.2)
    assert run("if rank: sys.exit(143)\n" + WAIT) == 143


def test_a_signal_is_passed_on() -> None:
    def send() -> None:
        pids(2)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=send).start()
    assert run("signal.signal(15, lambda *_: sys.exit(143))\n" + WAIT) == 143


def test_a_killed_process_is_named_and_the_others_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "GRACE", 0.2)
    with pytest.raises(WorkFailed, match="process 1 of the run ended with SIGKILL"):
        run("if rank: os.kill(os.getpid(), 9)\n" + "signal.signal(15, signal.SIG_IGN)\n" + WAIT)
    assert not is_alive(pids(1)[0])


def test_children_end_with_a_launcher_that_is_killed() -> None:
    command = [sys.executable, "-c", CHILD + FOLLOW + WAIT]
    work = f"from resnetctl.system import launcher; launcher.launch(2, {command!r})"
    with subprocess.Popen([sys.executable, "-c", work]) as process:
        children = pids(2)
        assert all(map(is_alive, children))
        process.kill()
    until(lambda: not any(map(is_alive, children)))


def test_a_process_without_a_launcher_follows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(launcher.LIFELINE, raising=False)
    assert not launcher.follow_launcher()
