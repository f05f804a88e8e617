"""The images of a long job that cannot be read: all are counted, the first thousand are kept."""

import os

from resnetctl.errors import DataError
from resnetctl.hints import Hint, Setting
from resnetctl.system.plain_files import close_path
from resnetctl.wording import counted

KEPT = 1000  # lines


class Problems:
    """Collects one line for each bad image. Memory stays flat."""

    def __init__(self) -> None:
        self.count = 0
        self.lines: list[str] = []
        self._limit = 0
        self._close: list[str] = []

    def add(self, file: object, error: DataError) -> None:
        """Record the problem of a file, and the limit of pixels under which it could be read."""
        self.count += 1
        if len(self.lines) < KEPT:
            self.lines.append(f"{file}: {error.message}")
            if not self._close and not os.path.lexists(str(file)):
                self._close = close_path(str(file))
        limits = [hint.value for hint in error.hint if isinstance(hint, Setting) and hint.name == "max_pixels"]
        self._limit = max(self._limit, *(int(str(value)) for value in limits), 0)

    def listed(self) -> tuple[str, ...]:
        """Return the lines that were kept, and how many more there are."""
        rest = self.count - len(self.lines)
        return (*self.lines, *([f"and {counted(rest, 'image')} more"] if rest else []))

    def require(self, images: int) -> None:
        """Raise `DataError` that lists the bad ones of `images`. Call it after the results."""
        if self.count:
            limit: list[Hint] = [Setting("max_pixels", self._limit)] if self._limit else []
            others = "; the others are classified" if self.count < images else ""
            raise DataError(
                f"{counted(self.count, 'image')} cannot be read{others}",
                problems=self.listed(),
                hint=[*self._close, *limit],
            )
