"""Worker processes answer requests, end with their parent, and give one clear error when they die."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from resnetctl.errors import WorkFailed
from resnetctl.system.processes import Workers

EVAL = "builtins:eval"  # evaluates any expression


def until(condition: Callable[[], bool], seconds: float = 30) -> bool:
    """Return whether `condition` becomes true in time."""
    end = time.monotonic() + seconds
    while not (is_true := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return is_true


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_each_answer_belongs_to_its_request() -> None:
    with Workers(2, serve=EVAL) as workers:
        answers = [workers.ask(f"{number} * 2", where="") for number in range(50)]
        assert [answer.result() for answer in answers] == [number * 2 for number in range(50)]


def test_plain_values_of_any_size_are_passed_unchanged() -> None:
    frame = [None, True, -5, 2**80, 0.1, "é\udcff", b"\0" * 3_000_000, (1, [2, ("x",)])]
    with Workers(1, serve="copy:copy") as workers:
        assert [workers.ask(frame, where="").result() for _ in range(3)] == [frame] * 3


def test_workers_start_and_end_with_the_context() -> None:
    with Workers(3, serve=EVAL) as workers:
        answers = [workers.ask("__import__('time').sleep(0.2) or __import__('os').getpid()", where="") for _ in "123"]
        pids = {answer.result() for answer in answers}
        assert len(pids) == 3
        assert os.getpid() not in pids
    assert not any(map(is_alive, pids))


def test_leaving_the_context_does_not_wait_for_requests() -> None:
    begun = time.monotonic()
    with Workers(2, serve=EVAL) as workers:
        waiting = [workers.ask("__import__('time').sleep(60)", where="") for _ in range(5)]
    assert all(answer.done() for answer in waiting)
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize(
    ("serve", "request_", "how"),
    [
        ("signal:raise_signal", int(signal.SIGKILL), "ended with SIGKILL, perhaps because the memory ran out"),
        ("signal:raise_signal", int(signal.SIGSEGV), "ended with SIGSEGV"),
        ("os:_exit", 7, "ended with exit code 7"),
        ("no.such:thing", None, "ended with exit code 1"),
    ],
)
def test_a_dead_worker_raises_one_clear_error(serve: str, request_: object, how: str, capfd: object) -> None:
    with Workers(2, serve=serve) as workers, pytest.raises(WorkFailed, match=how) as caught:
        workers.ask(request_, where="a.png to b.png").result()
    assert caught.value.where == "a.png to b.png"
    assert "RESNETCTL_THREADS=1" in caught.value.hint[0]
    assert capfd.readouterr() == ("", "")  # type: ignore[attr-defined]


def test_a_dead_worker_is_replaced_and_only_its_request_is_lost() -> None:
    with Workers(1, serve=EVAL) as workers:
        asked = [workers.ask(question, where=question) for question in ("1 + 1", "__import__('os').abort()", "2 + 2")]
        assert asked[0].result() == 2
        with pytest.raises(WorkFailed, match="ended with SIGABRT"):
            asked[1].result()
        assert asked[2].result() == 4


def test_prints_in_a_worker_do_not_mix_with_answers(capfd: object) -> None:
    with Workers(1, serve=EVAL) as workers:
        assert workers.ask("print('hello', flush=True) or __import__('os').write(1, b'x')", where="").result() == 1
        assert workers.ask("2 * 2", where="").result() == 4
    assert capfd.readouterr() == ("", "")  # type: ignore[attr-defined]


def test_an_exception_in_a_worker_is_reported_and_the_worker_continues() -> None:
    with Workers(1, serve=EVAL) as workers:
        with pytest.raises(WorkFailed, match="a worker process failed: ZeroDivisionError: division by zero") as caught:
            workers.ask("1 / 0", where="a.png to b.png").result()
        assert caught.value.where == "a.png to b.png"
        assert workers.ask("2 * 2", where="").result() == 4


def test_a_process_that_cannot_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(WorkFailed, match="cannot be started: No such file") as caught, Workers(2, serve=EVAL):
        pass
    assert "RESNETCTL_THREADS=1" in caught.value.hint[0]


def test_workers_import_the_served_module_and_no_torch() -> None:
    question = "sorted({'torch', 'numpy', 'PIL', 'resnetctl.data.reading.parallel'} & __import__('sys').modules.keys())"
    with Workers(1, serve=EVAL) as workers:
        assert workers.ask(question, where="").result() == []
        workers.ask("__import__('resnetctl.data.reading.parallel')and None", where="").result()
        assert workers.ask(question, where="").result() == ["PIL", "numpy", "resnetctl.data.reading.parallel"]


def test_workers_see_the_same_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "only_here.py").write_text("def double(x):\n    return 2 * x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with Workers(1, serve="only_here:double") as workers:
        assert workers.ask(21, where="").result() == 42


def test_the_callers_script_does_not_run_again(tmp_path: Path) -> None:
    """`multiprocessing` would run it, and fail without `if __name__ == "__main__"`."""
    script = tmp_path / "script.py"
    script.write_text(
        "from resnetctl.system.processes import Workers\n"
        "print('once')\n"
        "with Workers(2, serve='builtins:eval') as workers:\n"
        "    print(workers.ask('6 * 7', where='').result())\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("once\n42\n", "")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("busy", [False, True])
def test_workers_end_when_their_parent_is_killed(busy: bool) -> None:
    sleep = "__import__('time').sleep(0.5)" if busy else "0"
    program = (
        "from resnetctl.system.processes import Workers\n"
        "import time\n"
        "with Workers(2, serve='builtins:eval') as workers:\n"
        '    who = \'__import__("time").sleep(0.2) or __import__("os").getpid()\'\n'
        "    asked = [workers.ask(who, where='') for _ in '12']\n"
        "    print(*(answer.result() for answer in asked), flush=True)\n"
        f"    [workers.ask({sleep!r}, where='') for _ in '12']\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(set(pids)) == 2
        assert all(map(is_alive, pids))
        parent.kill()
    assert until(lambda: not any(map(is_alive, pids)))


@pytest.mark.skipif(os.name == "nt", reason="POSIX process groups")
def test_ctrl_c_in_a_terminal_does_not_reach_workers() -> None:
    with Workers(1, serve=EVAL) as workers:
        assert workers.ask("__import__('os').getpgid(0)", where="").result() != os.getpgid(0)


def test_a_worker_over_its_time_limit_is_killed_and_replaced() -> None:
    with Workers(1, serve=EVAL) as workers:
        late = workers.ask("[0 for _ in iter(int, 1)]", where="the loop", limit=0.5)
        after = workers.ask("1 + 1", where="the sum", limit=60)
        with pytest.raises(WorkFailed, match="it takes more than") as caught:
            late.result(60)
        assert caught.value.where == "the loop"
        assert after.result(60) == 2
