"""`runs list` and `runs show`: the runs on disk, the unfinished ones too. No torch."""

import contextlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from resnetctl.errors import ResnetctlError
from resnetctl.report.base import Report
from resnetctl.runs import RunDir, all_runs

CHOSEN_BY_ARCH = ("default", "rule", "weights")  # origins of a block that the user did not choose


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
        summary, failure = run.summary(), run.failure()
        config = tomllib.loads(run.config.read_text(encoding="utf-8"))
        metrics = run.metrics()
        sources = _sources(run)
    except (ResnetctlError, OSError, ValueError):
        return {"name": name, "status": "unreadable"}
    model = config.get("model", {})
    tops = [line["val_top1"] for line in metrics if "val_top1" in line]
    return {
        "name": name,
        "status": _status(run, finished=summary is not None, failed=failure is not None),
        "arch": summary["arch"] if summary is not None else model.get("arch"),
        "block": model.get("block") if sources.get("model.block", "default") not in CHOSEN_BY_ARCH else None,
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
