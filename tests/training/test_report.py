"""The JSON document of `train` and `finetune`."""

from pathlib import Path

from resnetctl.training.report import TrainReport


def test_a_finished_run_names_its_folder() -> None:
    report = TrainReport(path=Path("runs/a"), summary={"status": "finished", "epochs": 3})
    assert report.to_json() == {
        "schema": "resnetctl.train/1", "status": "finished", "epochs": 3, "run": "runs/a"
    }  # fmt: skip


def test_a_dry_run_has_no_folder() -> None:
    assert "run" not in TrainReport(path=None, summary={"status": "dry run"}).to_json()
