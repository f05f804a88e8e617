"""What `train` returns, and what `eval` and `predict` return in common for classifiers and networks with a head."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from resnetctl.errors import ResnetctlError
from resnetctl.report.base import Report
from resnetctl.report.problems import Problems
from resnetctl.spec import Split


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
        found = Problems(self.done)
        for item in self.results:
            if item.problem:
                found.add(item.file, item.problem)
        found.require(len(self.results))


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
