"""`runs remove`: delete runs. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from resnetctl.report.base import Report
from resnetctl.runs import RunDir, find
from resnetctl.runs import remove as delete


@dataclass(frozen=True, kw_only=True)
class RemoveReport(Report):
    """The folders that were removed."""

    schema: ClassVar[str] = "resnetctl.runs.remove/1"
    removed: tuple[Path, ...]


def chosen(names: Sequence[str], folder: Path) -> list[RunDir]:
    """Return the runs of these names or paths, each once. Raises `InputError` when there is no such run."""
    paths = [find(name, folder).path.resolve() for name in names]
    return [RunDir(path) for path in dict.fromkeys(paths)]


def remove(chosen: Sequence[RunDir]) -> RemoveReport:
    """Delete the runs. Raises `UsageError` when a process works on one; those before it are gone then."""
    for run in chosen:
        delete(run)
    return RemoveReport(removed=tuple(run.path for run in chosen))
