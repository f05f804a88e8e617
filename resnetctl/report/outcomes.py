"""What `train` returns, and what `eval` and `predict` return in common for classifiers and networks with a head."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from resnetctl.errors import DataError, ResnetctlError
from resnetctl.hints import Hint, Setting
from resnetctl.report.base import Report
from resnetctl.spec import Split
from resnetctl.system.plain_files import close_path
from resnetctl.wording import counted


@dataclass(frozen=True, kw_only=True)
class Measurement(Report):
    """The numbers of one file on one split.

    Attributes:
        target: the measured file.
        data: the name of the dataset.
        split: the measured split: val if the dataset has no test.
        epoch: the epoch of the weights, None if they do not name it.
        notices: sentences for the user.
        written: the file of the report in the run's folder, None for a target outside a run.
        unwritten: why the report, or another file, could not be written.
    """

    schema: ClassVar[str] = "resnetctl.eval/1"
    target: Path
    data: str
    split: Split
    epoch: int | None = None
    notices: tuple[str, ...] = ()
    written: Path | None = None
    unwritten: ResnetctlError | None = None

    def require(self) -> None:
        """Raise `unwritten`. Call it after showing the numbers."""
        if self.unwritten is not None:
            raise self.unwritten


@dataclass(frozen=True, kw_only=True)
class PerPicture(Report):
    """One result for each picture, in order. A result has a `file` (None in memory) and a `problem` (or None)."""

    schema: ClassVar[str] = "resnetctl.predict/1"
    done: ClassVar[str]  # what happened to the pictures that could be read
    results: Sequence[Any]
    notices: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """One line for each picture that cannot be read."""
        return tuple(f"{item.file or 'image'}: {item.problem.message}" for item in self.results if item.problem)

    def require(self) -> None:
        """Raise `DataError` that lists the bad files. Call it after showing the results."""
        if self.problems:
            count = len(self.problems)
            files = [item.file for item in self.results]
            is_nothing = count == len(files) and not any(file is None or os.path.isfile(file) for file in files)
            others = f"; the others are {self.done}" if count < len(files) else ""
            raise DataError(
                "there is no image here" if is_nothing else f"{counted(count, 'image')} cannot be read{others}",
                problems=self.problems,
                hint=self._hints(),
            )

    def _hints(self) -> list[Hint]:
        """Return what is named like the first missing file, and the limit of pixels that lets every picture in."""
        bad = [item for item in self.results if item.problem]
        missing = next((item.file for item in bad if item.file and not os.path.lexists(item.file)), None)
        hints: list[Hint] = [] if missing is None else [*close_path(missing)]
        values = [hint for item in bad for hint in item.problem.hint if isinstance(hint, Setting)]
        if limits := [hint for hint in values if isinstance(hint.value, int)]:
            hints.append(max(limits, key=lambda hint: int(str(hint.value))))
        return hints


@dataclass(frozen=True, kw_only=True)
class TrainReport(Report):
    """A finished run, or a dry run.

    Attributes:
        path: the run's folder, None after a dry run.
        summary: the content of `summary.json`, or the facts of the dry run.
    """

    schema: ClassVar[str] = "resnetctl.train/1"
    path: Path | None
    summary: Mapping[str, Any]

    def body(self) -> dict[str, Any]:
        """Return the summary, and the run's folder if there is one."""
        return {**self.summary, **({"run": str(self.path)} if self.path is not None else {})}
