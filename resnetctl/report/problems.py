"""The pictures that cannot be read: all are counted, the first thousand are kept."""

import os
from pathlib import Path

from resnetctl.errors import DataError
from resnetctl.hints import Hint, Setting
from resnetctl.system.plain_files import close_path
from resnetctl.wording import counted

KEPT = 1000  # lines


class Problems:
    """Collects one line for each bad picture. Memory stays flat. `done` is what happened to the others."""

    def __init__(self, done: str = "classified") -> None:
        self.count = 0
        self.lines: list[str] = []
        self._done = done
        self._limit = 0
        self._close: list[str] = []
        self._is_any_there = False

    def add(self, file: str | Path | None, error: DataError) -> None:
        """Record the problem of a file (None in memory), and the limit of pixels under which it could be read."""
        self.count += 1
        self._is_any_there |= file is None or os.path.isfile(file)
        if len(self.lines) < KEPT:
            self.lines.append(f"{file or 'image'}: {error.message}")
            if file is not None and not self._close and not os.path.lexists(file):
                self._close = close_path(file)
        limits = [hint.value for hint in error.hint if isinstance(hint, Setting) and hint.name == "max_pixels"]
        self._limit = max(self._limit, *(int(str(value)) for value in limits), 0)

    def listed(self) -> tuple[str, ...]:
        """Return the lines that were kept, and how many more there are."""
        rest = self.count - len(self.lines)
        return (*self.lines, *([f"and {counted(rest, 'image')} more"] if rest else []))

    def require(self, images: int) -> None:
        """Raise `DataError` that lists the bad ones of `images`. Call it after the results."""
        if not self.count:
            return
        limit: list[Hint] = [Setting("max_pixels", self._limit)] if self._limit else []
        others = f"; the others are {self._done}" if self.count < images else ""
        is_nothing = self.count == images and not self._is_any_there  # missing files, folders, patterns
        raise DataError(
            "there is no image here" if is_nothing else f"{counted(self.count, 'image')} cannot be read{others}",
            problems=self.listed(),
            hint=[*self._close, *limit],
        )
