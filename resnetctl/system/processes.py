"""Worker processes, which answer requests through pipes.

A worker imports only the module that it serves, so no torch. It is not forked, because a fork loses torch's threads. It
does not run the caller's script again, as `multiprocessing` would. It reads requests from stdin and ends when stdin
closes, also when this process is killed. Signals from the terminal do not reach it. A worker that dies is replaced. The
pipes carry `marshal` data: plain values, no code.
"""

import contextlib
import marshal
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from queue import SimpleQueue
from threading import Event, Lock, Timer
from types import TracebackType
from typing import IO, Any, Self, cast

from resnetctl.errors import WorkFailed

Frame = Any  # a value for marshal: None, numbers, text, bytes, and lists and tuples of them
_PROGRAM = "import sys; sys.path[:] = sys.argv[2:]; from resnetctl.system.processes import serve; serve(sys.argv[1])"
_APART: dict[str, Any] = (
    {"creationflags": 0x200} if os.name == "nt" else {"process_group": 0}
)  # Ctrl-C does not reach it
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # for numpy: each core has its own worker
_ALONE = "RESNETCTL_THREADS=1 does the same in one process, with less memory"


@dataclass(frozen=True)
class _Worker:
    process: "subprocess.Popen[bytes]"
    requests: IO[bytes]
    answers: IO[bytes]

    @classmethod
    def start(cls, serve: str) -> Self:
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, serve, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | _ONE_THREAD,
            **_APART,
        )
        return cls(process, cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout))

    def ask(self, request: Frame, where: str, limit: float | None) -> Frame:
        late = Event()

        def stop() -> None:
            late.set()
            self.process.kill()

        timer = Timer(limit or 0, stop)
        try:
            if limit is not None:
                timer.start()
            _send(self.requests, request)
            is_answer, answer = _receive(self.answers)
        except (OSError, EOFError) as error:
            code = self.process.wait()
            if late.is_set():
                raise WorkFailed(f"it takes more than {limit:.0f} s", where=where) from error
            raise _died(code, where) from error
        finally:
            timer.cancel()
        if not is_answer:
            raise WorkFailed(f"a worker process failed: {answer}", where=where, hint=_ALONE)
        return answer

    def end(self) -> None:
        self.process.wait()
        self.answers.close()
        with contextlib.suppress(OSError):  # its buffer has requests that no worker will read
            self.requests.close()


class Workers:
    """`count` worker processes, which run until `with` ends. `serve` is the `module:function` that answers a request.

    Each worker has a thread here that waits for it, so the two sides of a pipe cannot block each other.
    """

    def __init__(self, count: int, *, serve: str) -> None:
        self.count = count
        self._serve = serve
        self._all: list[_Worker] = []
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="resnetctl-worker")
        self._lock, self._over = Lock(), False

    def __enter__(self) -> Self:
        """Start the processes without waiting for them. Raises `WorkFailed` when the system refuses to start one."""
        try:
            while len(self._all) < self.count:
                self._all.append(_Worker.start(self._serve))
                self._idle.put(self._all[-1])
        except OSError as error:
            self._end()
            raise WorkFailed(f"a worker process cannot be started: {error.strerror}", hint=_ALONE) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def ask(self, request: Frame, *, where: str, limit: float | None = None) -> "Future[Frame]":
        """Send a request; return the future answer. It raises `WorkFailed`, with `where`, when the worker dies.

        A worker that needs more than `limit` seconds is killed.
        """
        return self._threads.submit(self._ask, request, where, limit)

    def _ask(self, request: Frame, where: str, limit: float | None) -> Frame:
        worker = self._idle.get()
        try:
            return worker.ask(request, where, limit)
        finally:
            self._idle.put(self._living(worker))

    def _living(self, worker: _Worker) -> _Worker:
        """Return the worker, or its replacement if it died."""
        with self._lock, contextlib.suppress(OSError):  # if no worker starts, the next request fails
            if not self._over and worker.process.poll() is not None:
                self._all.append(_Worker.start(self._serve))
                self._all.remove(worker)
                worker.end()
                return self._all[-1]
        return worker

    def _end(self) -> None:
        """Kill the processes at once."""
        with self._lock:
            self._over = True
        for worker in self._all:
            worker.process.kill()
        self._threads.shutdown(cancel_futures=True)
        for worker in self._all:
            worker.end()


def serve(target: str) -> None:
    """Answer requests from stdin on stdout until stdin closes. It runs in the worker."""
    module, _, name = target.partition(":")
    answer: Callable[[Frame], Frame] = getattr(import_module(module), name)
    with open(0, "rb") as requests, open(os.dup(1), "wb") as answers, contextlib.suppress(EOFError, BrokenPipeError):
        os.dup2(2, 1)  # prints of the function go to stderr, not between answers
        while True:
            request = _receive(requests)
            try:
                frame = (True, answer(request))
            except Exception as error:  # reported to the process that asked
                frame = (False, f"{type(error).__name__}: {error}")
            _send(answers, frame)


def _send(pipe: IO[bytes], frame: Frame) -> None:
    data = marshal.dumps(frame)
    pipe.write(len(data).to_bytes(8, "little"))
    pipe.write(data)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> Frame:
    """Return the next frame. Raises `EOFError` when the other process has ended."""
    head = pipe.read(8)
    data = pipe.read(int.from_bytes(head, "little"))
    if len(head) < 8 or len(data) != int.from_bytes(head, "little"):
        raise EOFError("the other process has ended")
    return marshal.loads(data)


def _died(code: int, where: str) -> WorkFailed:
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    why = ", perhaps because the memory ran out" if how == "SIGKILL" else ""
    return WorkFailed(f"a worker process ended with {how}{why}", where=where, hint=_ALONE)
