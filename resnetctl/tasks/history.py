"""What the runs on disk tell about themselves, also the unfinished ones. No torch."""

import tomllib
from typing import Any

from resnetctl.errors import ResnetctlError
from resnetctl.runs import RunDir


def facts(run: RunDir) -> dict[str, Any]:
    """Name, status (finished, unfinished, unreadable), arch, data, epochs done, val accuracy of the best."""
    name = run.path.resolve().name  # what `last` points to
    try:
        summary = run.summary()
        config = tomllib.loads(run.config.read_text(encoding="utf-8"))
        metrics = run.metrics()
    except (ResnetctlError, OSError, ValueError):
        return {"name": name, "status": "unreadable"}
    tops = [line["val_top1"] for line in metrics if "val_top1" in line]
    return {
        "name": name,
        "status": "finished" if summary is not None else "unfinished",
        "arch": summary["arch"] if summary is not None else config.get("model", {}).get("arch"),
        "data": config.get("data"),
        "epochs": len(metrics),
        "epochs_planned": config.get("epochs"),
        "val_top1": max(tops, default=None),
    }


def files(run: RunDir) -> dict[str, int]:
    """Every file of the run with its size in bytes."""
    paths = sorted(path for path in run.path.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(run.path)): path.stat().st_size for path in paths}
