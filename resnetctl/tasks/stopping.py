"""Stopping on SIGINT and SIGTERM: finish the step, save, say how to go on. A second signal stops at once."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """Raised inside `Stop.at_once` sections, where nothing is half-done."""


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """A section of somebody's C++, which an exception must not cross: a signal waits until it is over."""
    with Stop() as stop:
        yield
    if stop.signum:
        signal.raise_signal(stop.signum)


class Stop:
    """Catches the first signal while it is entered; `signum` is 0 until then. Does nothing outside the main thread."""

    def __init__(self) -> None:
        self.signum = 0
        self._at_once = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            taken = [name for name in SIGNALS if signal.getsignal(name) is not signal.SIG_IGN]  # `nohup`, `cmd &`
            self._before = {name: signal.signal(name, self._caught) for name in taken}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, handler in self._before.items():
            signal.signal(name, handler)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """A section that a signal leaves immediately, by `Interrupted`: evaluation, say."""
        if self.signum:
            raise Interrupted
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def _caught(self, signum: int, frame: FrameType | None) -> None:
        self.signum = signum
        for name in SIGNALS:
            signal.signal(name, signal.SIG_DFL)
        if self._at_once:
            self._at_once = False
            raise Interrupted
