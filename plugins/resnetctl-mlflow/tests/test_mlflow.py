"""The file store follows every rule of resnetctl, and MLflow's own client reads every run in it."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from resnetctl_mlflow import store
from resnetctl_mlflow.trackers import mlflow

from resnetctl.spec import TrackedRun
from resnetctl.testing import conformance

test_conformance = conformance("resnetctl-mlflow")


def run(folder: Path, *, epoch: int = 0) -> TrackedRun:
    own = folder / "one" / "trackers" / "mlflow"
    own.mkdir(parents=True, exist_ok=True)
    config = {"data": "digits", "optim.lr": 0.1, "optim.args": {}, "seed": 0}
    return TrackedRun(path=folder / "one", folder=own, config=config, epoch=epoch)


def client(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    tracking = pytest.importorskip("mlflow.tracking")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return tracking.MlflowClient(tracking_uri=(folder / "mlruns").as_uri())


def test_mlflow_reads_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracking = mlflow.start(run(tmp_path))
    for number in (1, 2):
        tracking.epoch(number, {"train_loss": 1.5 / number, "val_top1": 0.25 * number})
    reader = client(tmp_path, monkeypatch)
    (found,) = reader.search_runs([reader.get_experiment_by_name("resnetctl").experiment_id])
    assert (found.info.status, found.info.run_name) == ("RUNNING", "one")
    tracking.close("stopped")
    resumed = mlflow.start(run(tmp_path, epoch=1))
    for number in (2, 3):
        resumed.epoch(number, {"train_loss": 0.5, "val_top1": 0.75})
    resumed.close("finished")
    (found,) = reader.search_runs([store.EXPERIMENT])
    assert found.info.status == "FINISHED"
    assert found.info.end_time >= found.info.start_time
    assert found.data.params == {"data": "digits", "optim.lr": "0.1", "optim.args": "{}", "seed": "0"}
    assert found.data.metrics == {"train_loss": 0.5, "val_top1": 0.75}
    history = reader.get_metric_history(found.info.run_id, "train_loss")
    assert [(item.step, item.value) for item in history] == [(1, 1.5), (2, 0.5), (3, 0.5)]
    assert found.data.tags["resnetctl.path"] == str(tmp_path / "one")


def test_several_runs_share_the_experiment(tmp_path: Path) -> None:
    first, second = run(tmp_path), run(tmp_path / "more")
    mlflow.start(first).close("failed")
    mlflow.start(TrackedRun(path=tmp_path / "two", folder=second.folder, config={})).close("finished")
    experiment = tmp_path / "mlruns" / store.EXPERIMENT
    states = [json.loads(path.read_text())["status"] for path in experiment.glob("*/meta.yaml")]
    assert sorted(states) == [store.FINISHED, store.FAILED]


def test_a_resume_leaves_out_a_line_that_a_full_disk_cut(tmp_path: Path) -> None:
    tracking = mlflow.start(run(tmp_path))
    for number in (1, 2):
        tracking.epoch(number, {"train_loss": 1.5 / number})
    (path,) = (tmp_path / "mlruns").rglob("train_loss")
    path.write_bytes(path.read_bytes()[:-5])
    mlflow.start(run(tmp_path, epoch=2)).epoch(3, {"train_loss": 0.25})
    assert [line.split()[1:] for line in path.read_text().splitlines()] == [["1.5", "1"], ["0.25", "3"]]


def test_an_id_that_a_kill_left_empty_begins_a_new_run(tmp_path: Path) -> None:
    (run(tmp_path).folder / "run_id").write_text("")
    mlflow.start(run(tmp_path)).epoch(1, {"train_loss": 1.0})
    assert len([*(tmp_path / "mlruns").rglob("train_loss")]) == 1


def test_runs_that_start_at_once_all_find_the_experiment(tmp_path: Path) -> None:
    store_of = tmp_path / "mlruns"
    with ThreadPoolExecutor(8) as pool:
        folders = {*pool.map(lambda now: store.open_experiment(store_of, now=now), range(200))}
        for _ in range(20):
            (store_of / store.EXPERIMENT / "meta.yaml").unlink()
            folders |= {*pool.map(lambda now: store.open_experiment(store_of, now=now), range(8))}
    assert folders == {store_of / store.EXPERIMENT}
    assert [path.name for path in (store_of / store.EXPERIMENT).iterdir()] == ["meta.yaml"]


def test_a_store_that_was_removed_is_begun_again(tmp_path: Path) -> None:
    mlflow.start(run(tmp_path)).close("stopped")
    (folder,) = (tmp_path / "mlruns" / store.EXPERIMENT).glob("*/")
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()
    mlflow.start(run(tmp_path, epoch=1)).epoch(2, {"a/b": 1.0})
    (path,) = (tmp_path / "mlruns").rglob("a_b")
    assert path.read_text().split()[1:] == ["1.0", "2"]
