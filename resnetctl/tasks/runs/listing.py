"""What the runs on disk tell about themselves, also the unfinished ones. No torch."""

import contextlib
import tomllib
from typing import Any

from resnetctl.errors import ResnetctlError
from resnetctl.runs import RunDir


def facts(run: RunDir) -> dict[str, Any]:
    """Name, status (finished, unfinished, failed, unreadable), arch, data, epochs, best val accuracy, start.

    `block` is one that somebody chose; None where it is the arch's own.
    """
    name = run.path.resolve().name  # what `last` points to
    try:
        summary, failure = run.summary(), run.failure()
        config = tomllib.loads(run.config.read_text(encoding="utf-8"))
        metrics = run.metrics()
        said = _sources(run)
    except (ResnetctlError, OSError, ValueError):
        return {"name": name, "status": "unreadable"}
    model = config.get("model", {})
    tops = [line["val_top1"] for line in metrics if "val_top1" in line]
    return {
        "name": name,
        "status": "finished" if summary is not None else "failed" if failure is not None else "unfinished",
        "arch": summary["arch"] if summary is not None else model.get("arch"),
        "block": model.get("block")
        if said.get("model.block", "default") not in ("default", "rule", "weights")
        else None,
        "data": config.get("data"),
        "epochs": len(metrics),
        "epochs_planned": None if config.get("steps") else config.get("epochs"),
        "val_top1": max(tops, default=None),
        "created": run.created() or None,
        "failure": failure or None,
    }


def _sources(run: RunDir) -> dict[str, str]:
    with contextlib.suppress(ResnetctlError):
        return run.sources()
    return {}


def files(run: RunDir) -> dict[str, int]:
    """Every file of the run with its size in bytes."""
    paths = sorted(path for path in run.path.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(run.path)): path.stat().st_size for path in paths}
