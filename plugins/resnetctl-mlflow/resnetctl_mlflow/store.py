"""MLflow's file store: a folder for each experiment and run, a text file for each metric, parameter and tag.

The layout is that of `mlflow.store.tracking.file_store`. JSON is valid YAML, so `meta.yaml` is written as JSON.
"""

import json
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

EXPERIMENT, NAME = "710206542817345901", "resnetctl"  # any number that no other experiment has
RUNNING, FINISHED, FAILED, KILLED = 1, 3, 4, 5  # of RunStatus in MLflow's service.proto
LOCAL = 4  # SourceType
MOST = 6000  # characters of a parameter that MLflow reads


def open_experiment(store: Path, *, now: int) -> Path:
    """Return the folder of the experiment, created at `now` (ms since 1970) if it is missing."""
    folder = store / EXPERIMENT
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "meta.yaml").exists():
        write_meta(
            folder,
            {
                "artifact_location": folder.absolute().as_uri(),
                "creation_time": now,
                "experiment_id": EXPERIMENT,
                "last_update_time": now,
                "lifecycle_stage": "active",
                "name": NAME,
            },
        )
    return folder


def create_run(experiment: Path, run_id: str, *, name: str, now: int) -> Path:
    """Create the folder of a run that begins at `now` (ms since 1970) and return it."""
    folder = experiment / run_id
    for part in ("metrics", "params", "tags", "artifacts"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    write_meta(
        folder,
        {
            "artifact_uri": (folder / "artifacts").absolute().as_uri(),
            "end_time": None,
            "entry_point_name": "",
            "experiment_id": EXPERIMENT,
            "lifecycle_stage": "active",
            "run_id": run_id,
            "run_name": name,
            "source_name": "",
            "source_type": LOCAL,
            "source_version": "",
            "start_time": now,
            "status": RUNNING,
            "tags": [],
            "user_id": "resnetctl",
        },
    )
    return folder


def set_status(folder: Path, status: int, *, now: int | None) -> None:
    """Change the status of a run; `now` is its end (ms since 1970), None while it runs."""
    meta = json.loads((folder / "meta.yaml").read_text(encoding="utf-8"))
    write_meta(folder, {**meta, "status": status, "end_time": now})


def write_meta(folder: Path, values: Mapping[str, Any]) -> None:
    """Write `meta.yaml`."""
    _replace(folder / "meta.yaml", json.dumps(values, indent=1) + "\n", drafts=folder)


def write_text(folder: Path, values: Mapping[str, str]) -> None:
    """Write a file for each parameter or tag."""
    for name, value in values.items():
        (folder / plain(name)).write_text(value[:MOST], encoding="utf-8")


def append_metrics(folder: Path, values: Mapping[str, float], *, step: int, now: int) -> None:
    """Append a line to the file of each metric."""
    for name, value in values.items():
        with (folder / "metrics" / plain(name)).open("a", encoding="utf-8") as file:
            file.write(f"{now} {value} {step}\n")


def drop_metrics(folder: Path, *, after: int) -> None:
    """Remove the lines of steps after `after`, which a resumed run repeats."""
    for path in (folder / "metrics").iterdir():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        # a full disk may have cut the last line
        kept = [line for line in lines if line.endswith("\n") and int(line.split()[2]) <= after]
        _replace(path, "".join(kept), drafts=folder)


def plain(name: str) -> str:
    """Return a name that MLflow takes: letters, digits, `_`, `-`, `.` and spaces."""
    return re.sub(r"[^\w\-. ]", "_", name)


def _replace(path: Path, text: str, *, drafts: Path) -> None:
    """Write a file by a rename, so that a reader never sees half of it; runs that start at once may write the same.

    MLflow takes every file beside a metric for a metric, so `drafts` is another folder.
    """
    draft = drafts / f"{path.name}.{uuid.uuid4().hex}"
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
