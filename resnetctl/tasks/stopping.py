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


class Stop:
    """Catches the first signal while it is entered; `signum` is 0 until then. Does nothing outside the main thread."""

    def __init__(self) -> None:
        self.signum = 0
        self._at_once = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {name: signal.signal(name, self._caught) for name in SIGNALS}
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
