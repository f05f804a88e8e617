"""`report` judges a run on its test split; a second report runs no network."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from support.trained import CLASSES, card, make_run, make_store, network

import resnetctl as rc
from resnetctl.data.store import Store
from resnetctl.errors import DataError, UsageError, WorkFailed
from resnetctl.system import settings
from resnetctl.tasks import judge
from resnetctl.tasks.evaluate import evaluate
from resnetctl.tasks.export import export
from resnetctl.tasks.report.report import report
from resnetctl.weights.file import to_bytes

SPLITS = {"train": 200, "test": 60}


@pytest.fixture
def store() -> Store:
    return make_store(splits=SPLITS)


def other_weights(store: Store, path: Path = Path("other.safetensors"), **changes: object) -> Path:
    path.write_bytes(to_bytes(network(seed=5).state_dict(), dataclasses.replace(card(store), **changes)))
    return path


def test_the_numbers_are_those_of_eval(store: Store) -> None:
    run = make_run(card(store))
    outcome, measured = report(None, settings=settings.load()), evaluate(None, settings=settings.load()).report
    assert outcome.accuracy.confusion == measured.confusion
    assert (outcome.accuracy.top1, outcome.accuracy.loss) == (measured.top1, pytest.approx(measured.loss))
    assert (outcome.target, outcome.data, outcome.split) == (run.weights, "zoo", "test")
    assert outcome.assessment.calibration.fitted_on == "val"
    assert not [notice for notice in outcome.notices if "temperature" not in notice]


def test_the_document_has_the_documented_keys(store: Store) -> None:
    make_run(card(store))
    document = report(None, settings=settings.load()).to_json()
    assert list(document)[:8] == ["schema", "target", "weights", "data", "split", "count", "looks", "accuracy"]
    assert document["schema"] == "resnetctl.report/1"
    assert {"temperature", "fitted_on", "n", "nll", "brier", "ece", "ece_mass", "ece_null", "bins"} <= set(
        document["calibration"]
    )
    wanted = {"level", "method", "threshold", "n", "coverage", "coverage_range", "size"}
    assert wanted <= set(document["conformal"][0])
    assert "comparison" not in document
    json.dumps(document, allow_nan=False)


def test_a_second_report_runs_no_network(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(card(store))
    first = report(None, settings=settings.load(), quick=True)
    assert len(list((run.path / "report").glob("*.safetensors"))) == 2  # test and val
    monkeypatch.setattr(judge, "collect", None)
    assert report(None, settings=settings.load(), quick=True).to_json() == first.to_json()


def test_other_weights_in_the_run_need_another_pass(store: Store) -> None:
    run = make_run(card(store))
    first = report(None, settings=settings.load(), quick=True)
    run.save_weights(to_bytes(network(seed=9).state_dict(), card(store)))
    assert report(None, settings=settings.load(), quick=True).weights != first.weights
    run.save_weights(
        to_bytes(network().state_dict(), card(store, image=dataclasses.replace(card().image, mean=(0.1,))))
    )
    assert report(None, settings=settings.load(), quick=True).weights != first.weights
    assert len(list((run.path / "report").glob("*.safetensors"))) == 6


def test_a_damaged_pass_is_replaced(store: Store) -> None:
    run = make_run(card(store))
    first = report(None, settings=settings.load())
    for path in (run.path / "report").glob("*.safetensors"):
        path.write_bytes(b"damaged")
    assert report(None, settings=settings.load()).to_json() == first.to_json()


def test_an_onnx_file_is_judged_as_its_weights(store: Store) -> None:
    run = make_run(card(store))
    path = export(None, settings=settings.load(), gate="synthetic").path
    ours, theirs = (report(target, settings=settings.load()) for target in (run.path, path))
    assert theirs.weights == ours.weights
    assert theirs.accuracy.confusion == ours.accuracy.confusion
    assert theirs.assessment.calibration.ece == pytest.approx(ours.assessment.calibration.ece, abs=1e-4)
    against = report(run.path, against=path, settings=settings.load())
    assert against.against is not None
    assert against.against.comparison.verdict == "not distinguishable"
    assert "both files have the same weights" in against.notices


def test_an_onnx_file_for_originals_is_judged_as_its_weights(store: Store) -> None:
    run = make_run(card(store))
    path = export(None, settings=settings.load(), gate="synthetic", input="raw").path
    ours, theirs = (report(target, settings=settings.load(), quick=True) for target in (run.path, path))
    assert theirs.weights == ours.weights
    assert theirs.accuracy.confusion == ours.accuracy.confusion
    assert len(list((run.path / "report").glob("*-onnx-raw.safetensors"))) == 2


def test_two_models_are_compared_on_the_same_images(store: Store) -> None:
    run = make_run(card(store))
    path = other_weights(store)
    outcome = report(run.path, against=path, settings=settings.load())
    ours, theirs = outcome.accuracy, report(path, settings=settings.load()).accuracy
    found = outcome.to_json()["comparison"]
    assert found["difference"] == pytest.approx(ours.top1 - theirs.top1)
    assert (found["other"], len(found["per_class"])) == (str(path), 3)
    assert "these two files, not of these recipes" in outcome.notices[-1]


def test_the_order_of_the_other_classes_does_not_matter(store: Store) -> None:
    run = make_run(card(store))
    model = network()
    for parameter in (model.fc.weight, model.fc.bias):  # the same network with its outputs in another order
        parameter.data = parameter.data[[2, 0, 1]].clone()
    Path("turned.safetensors").write_bytes(
        to_bytes(model.state_dict(), card(store, classes=tuple(np.array(CLASSES)[[2, 0, 1]])))
    )
    found = report(run.path, against="turned.safetensors", settings=settings.load()).against
    assert found is not None
    assert (found.comparison.only_this, found.comparison.only_other) == (0, 0)


def test_other_classes_are_refused_before_any_pass(store: Store) -> None:
    run = make_run(card(store))
    other = other_weights(store, classes=("ape", "bee", "emu"))
    with pytest.raises(DataError, match="the two networks have different classes") as caught:
        report(run.path, against=other, settings=settings.load())
    assert caught.value.exit_code == 3
    assert str(other) in "".join(caught.value.problems), "both files are named"
    assert not (run.path / "report").exists()


def test_a_network_whose_output_is_not_finite_stores_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(card(store))
    broken = (np.full((60 * 3, 3), np.nan, np.float32), None)
    monkeypatch.setattr(judge, "feature_predictor", lambda *_, **__: lambda images: broken)
    with pytest.raises(WorkFailed, match="not finite"):
        report(None, settings=settings.load())
    assert not (run.path / "report").exists()


@pytest.mark.parametrize(
    ("changes", "text"),
    [({"val_fraction": 0.0}, "there is no val split"), ({"val_fraction": 0.05}, "val has 30 images, at least 100")],
)
def test_too_little_of_val_is_said(store: Store, changes: dict[str, float], text: str) -> None:
    make_run(card(store, **changes))
    outcome = report(None, settings=settings.load())
    assert text in "\n".join(outcome.notices)
    assert outcome.assessment.conformal == ()


def test_val_itself_can_be_measured_without_thresholds(store: Store) -> None:
    make_run(card(store))
    outcome = report(None, settings=settings.load(), split="val")
    assert (outcome.split, outcome.assessment.abstain) == ("val", ())
    assert "cannot be measured on val" in "\n".join(outcome.notices)


def test_a_pass_that_cannot_be_stored_is_a_notice(store: Store) -> None:
    run = make_run(card(store))
    report(None, settings=settings.load())
    for path in (run.path / "report").iterdir():
        path.unlink()
        path.mkdir()
    said = "\n".join(report(None, settings=settings.load()).notices)
    assert "the outputs were not stored" in said


def test_train_is_no_split_to_judge(store: Store) -> None:
    make_run(card(store))
    with pytest.raises(UsageError, match="no split to measure"):
        report(None, settings=settings.load(), split="train")


def test_report_is_a_function_of_the_package_and_a_package_too(store: Store) -> None:
    from resnetctl.report.base import Report

    run = make_run(card(store))
    outcome = rc.report(run.path)
    assert isinstance(outcome, Report)
    assert outcome.accuracy.count == 180
