"""`report --calibrate` writes the weights again, with what val says in their card."""

from pathlib import Path

import pytest
from support.trained import card, make_run, make_store

from resnetctl.errors import InputError, UsageError
from resnetctl.system import settings
from resnetctl.tasks.report.calibrate import require_new
from resnetctl.tasks.report.document import TrustReport
from resnetctl.tasks.report.report import report
from resnetctl.tasks.targets import resolve
from resnetctl.weights.file import load, read_header

OUT = Path("new.safetensors")


def calibrated(**options: object) -> TrustReport:
    return report(None, settings=settings.load(), calibrate=OUT, **options)


def test_the_new_file_has_the_same_tensors_and_a_calibration() -> None:
    run = make_run(card(make_store(splits={"train": 200, "test": 60})))
    before = run.weights.read_bytes()
    outcome = calibrated()
    assert run.weights.read_bytes() == before
    old, new = read_header(run.weights), read_header(OUT)
    assert (new.sha256, new.card.arch, new.card.split) == (old.sha256, old.card.arch, old.card.split)
    fitted = load(new).card.calibration
    assert fitted is not None
    assert fitted.familiar is not None
    assert fitted.familiar.width == 8
    assert new.card.temperature == outcome.assessment.calibration.temperature
    assert outcome.to_json()["calibrated"] == str(OUT)
    again = report(OUT, settings=settings.load())
    assert again.assessment.to_json() == outcome.assessment.to_json()
    assert again.weights == outcome.weights  # the ledger counts one model
    assert again.looks is not None
    assert again.looks.models == 1


def test_without_enough_of_val_nothing_is_written() -> None:
    make_run(card(make_store()))
    with pytest.raises(InputError, match="val has 18 images, and a temperature needs 100"):
        calibrated()
    with pytest.raises(InputError, match="val has 18 images"):
        calibrated(split="val")
    assert not OUT.exists()


def test_a_report_on_val_calibrates_on_val_too() -> None:
    run = make_run(card(make_store(splits={"train": 200})))  # without a test split, val is measured
    outcome = calibrated()
    assert (outcome.split, outcome.assessment.conformal) == ("val", ()), "val cannot measure what it chose"
    fitted = load(read_header(OUT)).card.calibration
    assert fitted is not None
    assert (fitted.split, fitted.images) == ("val", outcome.accuracy.count)
    assert load(read_header(run.weights)).card.calibration is None


def test_a_file_that_exists_and_an_onnx_file_are_refused_before_any_work() -> None:
    run = make_run(card())
    OUT.write_bytes(b"mine")
    target = resolve(None, settings.load())
    with pytest.raises(UsageError, match="the output exists"):
        require_new(target, OUT)
    assert OUT.read_bytes() == b"mine"
    run.onnx.parent.mkdir(exist_ok=True)
    run.onnx.write_bytes(b"")
    with pytest.raises(UsageError, match="ONNX file cannot be calibrated"):
        require_new(resolve(run.onnx, settings.load()), Path("other.safetensors"))
