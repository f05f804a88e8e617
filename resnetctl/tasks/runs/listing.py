"""`runs list` and `runs show`: the runs on disk, the unfinished ones too. No torch."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from resnetctl.config.layers import from_file
from resnetctl.errors import ResnetctlError
from resnetctl.report.base import Report
from resnetctl.runs import RunDir, all_runs

CHOSEN_BY_ARCH = ("default", "rule", "weights")  # origins of a block that the user did not choose
KINDS = {"epochs": int, "epochs_planned": int, "val_top1": float | int}  # of facts; the others are text


@dataclass(frozen=True, kw_only=True)
class ListReport(Report):
    """The `facts` of every run, oldest first."""

    schema: ClassVar[str] = "resnetctl.runs.list/1"
    runs: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, kw_only=True)
class ShowReport(Report):
    """One run.

    Attributes:
        facts: see `facts`.
        files: bytes of each file.
        metrics, timings: one entry an epoch, from the run's logs.
        summary: the content of `summary.json`, None while the run is not finished.
    """

    schema: ClassVar[str] = "resnetctl.runs.show/1"
    facts: Mapping[str, Any]
    path: Path
    files: Mapping[str, int]
    metrics: tuple[Mapping[str, Any], ...]
    timings: tuple[Mapping[str, Any], ...]
    summary: Mapping[str, Any] | None

    def body(self) -> dict[str, Any]:
        """Return the facts at the top level, then the rest."""
        values = super().body()
        return {**values.pop("facts"), **values}


def list_runs(folder: Path) -> ListReport:
    """Return the report on all runs in `folder`."""
    return ListReport(runs=tuple(facts(run) for run in all_runs(folder)))


def show(run: RunDir) -> ShowReport:
    """Return the report on one run. Raises `InputError` when its logs cannot be read."""
    return ShowReport(
        facts=facts(run),
        path=run.path,
        files=files(run),
        metrics=tuple(run.metrics()),
        timings=tuple(run.timings()),
        summary=run.summary(),
    )


def facts(run: RunDir) -> dict[str, Any]:
    """Return the name, status, arch, data, epochs, best val accuracy and start of a run.

    The status is running, finished, unfinished, failed or unreadable.

    `block` is None if it is the arch's own.
    """
    name = run.path.resolve().name  # of the run that `last` points to
    try:
        values = _read(run, name)
    except ResnetctlError:
        return {"name": name, "status": "unreadable"}
    is_right = all(value is None or isinstance(value, KINDS.get(key, str)) for key, value in values.items())
    return values if is_right else {"name": name, "status": "unreadable"}


def _read(run: RunDir, name: str) -> dict[str, Any]:
    """Return the facts of a run from its files, which may hold values of any type."""
    summary, failure, metrics, sources = run.summary(), run.failure(), run.metrics(), _sources(run)
    config = from_file(run.config).values
    tops = [top for line in metrics if isinstance(top := line.get("val_top1"), float | int)]
    block = config.get("model.block")
    return {
        "name": name,
        "status": _status(run, finished=summary is not None, failed=failure is not None),
        "arch": summary.get("arch") if summary is not None else config.get("model.arch"),
        "block": block if sources.get("model.block", "default") not in CHOSEN_BY_ARCH else None,
        "data": config.get("data"),
        "epochs": len(metrics),
        "epochs_planned": None if config.get("steps") else config.get("epochs"),
        "val_top1": max(tops, default=None),
        "created": run.created() or None,
        "failure": failure or None,
    }


def _status(run: RunDir, *, finished: bool, failed: bool) -> str:
    if run.is_running():
        return "running"
    return "finished" if finished else "failed" if failed else "unfinished"


def _sources(run: RunDir) -> dict[str, str]:
    with contextlib.suppress(ResnetctlError):
        return run.sources()
    return {}


def files(run: RunDir) -> dict[str, int]:
    """Return every file of the run with its size in bytes."""
    paths = sorted(path for path in run.path.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(run.path)): path.stat().st_size for path in paths}
