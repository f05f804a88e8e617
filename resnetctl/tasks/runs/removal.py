"""`runs remove`: delete runs. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from resnetctl.report.base import Report
from resnetctl.runs import RunDir, matching, runs_in
from resnetctl.runs import remove as delete
from resnetctl.runs.finding import find_folder, is_pattern
from resnetctl.tasks.runs.listing import facts
from resnetctl.wording import counted


@dataclass(frozen=True, kw_only=True)
class RemoveReport(Report):
    """The folders that were removed."""

    schema: ClassVar[str] = "resnetctl.runs.remove/1"
    removed: tuple[Path, ...]


def chosen(names: Sequence[str], folder: Path) -> list[RunDir]:
    """Return the runs and groups of these names, paths or patterns, each once.

    Raises `InputError` when there is no such run.
    """
    items = [
        item
        for name in names
        for item in (matching(name, folder) if is_pattern(name, folder) else [find_folder(name, folder)])
    ]
    paths = [item.path.resolve() for item in items]
    return [RunDir(path) for path in dict.fromkeys(paths)]


def described(run: RunDir) -> str:
    """Return what would be lost: the status of a run, or how many runs a group has."""
    if run.config.is_file():
        return str(facts(run)["status"])
    inside = runs_in(run.path)
    return f"group of {counted(len(inside), 'run')}" if inside else "unfinished"


def remove(chosen: Sequence[RunDir]) -> RemoveReport:
    """Delete the runs. Raises `UsageError` when a process works on one; those before it are gone then."""
    for run in chosen:
        delete(run)
    return RemoveReport(removed=tuple(run.path for run in chosen))
