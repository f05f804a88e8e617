"""The tracker `mlflow`: a run of MLflow for each run, in `mlruns` beside the runs."""

import json
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

from resnetctl.spec import Ending, TrackedRun
from resnetctl_mlflow import store

STATUS = {"finished": store.FINISHED, "stopped": store.KILLED, "failed": store.FAILED}


class Tracking:
    """The folder of one run of MLflow."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def epoch(self, number: int, numbers: Mapping[str, float]) -> None:
        """Append the numbers of an epoch."""
        store.append_metrics(self._folder, numbers, step=number, now=_now())

    def close(self, ending: Ending) -> None:
        """Write how and when the run ended."""
        store.set_status(self._folder, STATUS[ending], now=_now())


class Tracker:
    """Write MLflow's file store. The id of the run lies in the tracker's folder, so a resumed run finds it again."""

    name = "mlflow"
    summary = "a run of MLflow in the folder mlruns, beside the runs"

    def start(self, run: TrackedRun) -> Tracking:
        """Create a run of MLflow, or go on with it."""
        experiment = store.open_experiment(run.path.parent / "mlruns", now=_now())
        known = run.folder / "run_id"
        folder = experiment / (known.read_text(encoding="utf-8") if known.exists() else "")
        if folder != experiment and (folder / "meta.yaml").is_file():
            store.drop_metrics(folder, after=run.epoch)
            store.set_status(folder, store.RUNNING, now=None)
            return Tracking(folder)
        run_id = uuid.uuid4().hex
        folder = store.create_run(experiment, run_id, name=run.path.name, now=_now())
        store.write_text(folder / "params", {key: _text(value) for key, value in run.config.items()})
        tags = {"mlflow.runName": run.path.name, "resnetctl.path": str(run.path.absolute())}
        store.write_text(folder / "tags", tags)
        known.write_text(run_id, encoding="utf-8")
        return Tracking(folder)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _now() -> int:
    """Return the milliseconds since 1970."""
    return time.time_ns() // 1_000_000


mlflow = Tracker()
