"""Start this command again as several processes, pass signals on, and wait for all of them.

The children hold one end of a pipe whose other end is here. When this process dies, however it dies, the pipe closes,
and each child stops as after SIGTERM. This module imports no torch.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from resnetctl.errors import UsageError, WorkFailed
from resnetctl.hints import Setting
from resnetctl.system.signals import on_stop

LIFELINE = "RESNETCTL_LIFELINE"  # environment variable: the number of the pipe's file descriptor
GRACE = 60.0  # seconds from the end of the pipe or of another process to the end of a child that does not react
PAUSE = 0.05  # seconds
_APART = {} if os.name == "nt" else {"process_group": 0}  # a terminal's Ctrl-C reaches this process only


def launch(count: int, command: Sequence[str] | None = None) -> int:
    """Run `command` (default: this process's own) as `count` processes on this machine; return the exit code.

    It is that of process 0 unless that is 0, else the first other. When a process fails, the others get `GRACE`
    seconds to end by themselves; then they are stopped, and the code is that of the process that failed.

    Raises:
        UsageError: on Windows, where a child cannot inherit the pipe.
        WorkFailed: a process was killed, or cannot be started.
    """
    if os.name == "nt":
        raise UsageError("several processes need Linux or macOS", where=Setting("processes"))
    words = [sys.executable, *sys.orig_argv[1:]] if command is None else list(command)
    reading, writing = os.pipe()
    children: list[subprocess.Popen[bytes]] = []

    def forward(signum: signal.Signals) -> None:
        for child in children:
            child.send_signal(signum)

    try:
        with on_stop(forward):
            port = _free_port()
            for rank in range(count):
                children.append(_start(words, _environment(rank, count, port=port), lifeline=reading))
            codes = _wait(children)
    except OSError as error:
        raise WorkFailed(f"a process of the run cannot be started: {error.strerror}") from error
    finally:
        os.close(writing)
        os.close(reading)
        for child in children:
            if child.poll() is None:
                child.kill()
            child.wait()
    _require_natural(codes)
    return next((code for code in codes if code), 0)


def follow_launcher() -> bool:
    """In a child of `launch`, stop as after SIGTERM when the launcher dies. Return whether this is such a child."""
    handle = os.environ.pop(LIFELINE, None)
    if handle is None:
        return False
    threading.Thread(target=_watch, args=(int(handle),), daemon=True).start()
    return True


def _watch(handle: int) -> None:
    with contextlib.suppress(OSError):
        os.read(handle, 1)  # returns when the launcher's end is closed
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)
        os._exit(128 + signal.SIGTERM)


def _start(words: Sequence[str], environment: dict[str, str], *, lifeline: int) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, **environment, LIFELINE: str(lifeline)}
    return subprocess.Popen(words, env=environment, pass_fds=(lifeline,), stdin=subprocess.DEVNULL, **_APART)  # type: ignore[call-overload, no-any-return]


def _environment(rank: int, count: int, *, port: int) -> dict[str, str]:
    """Return the variables of a child. gloo would look the host's name up; one machine needs its loopback only."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_PORT": port}
    loopback = (
        {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" and "GLOO_SOCKET_IFNAME" not in os.environ else {}
    )
    return {name: str(value) for name, value in place.items()} | {"MASTER_ADDR": "127.0.0.1"} | loopback


def _wait(children: "Sequence[subprocess.Popen[bytes]]") -> list[int]:
    """Wait for all children; return their exit codes: 0 of those that had to be stopped after another one failed."""
    deadline, next_signal, late = float("inf"), signal.SIGTERM, [False] * len(children)
    while None in (codes := [child.poll() for child in children]):
        if deadline == float("inf") and any(codes):
            deadline = time.monotonic() + GRACE
        if time.monotonic() > deadline:
            late = [code is None for code in codes]
            for child in children:
                child.send_signal(next_signal)  # to those that still run
            deadline, next_signal = time.monotonic() + GRACE, signal.SIGKILL
        time.sleep(PAUSE)
    return [0 if was_late else child.returncode for child, was_late in zip(children, late, strict=True)]


def _require_natural(codes: Sequence[int]) -> None:
    """Raise `WorkFailed` that names the first process that a signal killed."""
    for rank, code in enumerate(codes):
        if code < 0:
            name = signal.Signals(-code).name
            why = ", perhaps because the memory ran out" if name == "SIGKILL" else ""
            raise WorkFailed(
                f"process {rank} of the run ended with {name}{why}",
                hint="the run can be resumed from its last checkpoint",
            )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
