"""Calibrated weights give the same answers whatever file they are in: weights, ONNX, ONNX for originals, exporters."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from support.trained import CLASSES, card, make_run, make_store

import resnetctl as rc
from resnetctl import runs
from resnetctl.spec import Calibration

CALIBRATION = Calibration(temperature=2.5, sets={"0.9": 0.12, "0.95": 0.05}, images=150)


@pytest.fixture
def run() -> runs.RunDir:
    store = make_store(splits={"train": 100, "test": 30})
    return make_run(dataclasses.replace(card(store), calibration=CALIBRATION))


@pytest.fixture
def pictures() -> list[Path]:
    """Pictures of the size of the dataset, so that nothing is resized, and one that is."""
    generator = np.random.default_rng(3)
    paths = []
    for number, size in enumerate([(8, 8)] * 4 + [(13, 9)]):
        paths.append(Path(f"{number}.png"))
        Image.fromarray(generator.integers(0, 256, size, dtype=np.uint8)).save(paths[-1])
    return paths


def exported(run: runs.RunDir, **options: Any) -> Path:
    return rc.export(run.path, gate="synthetic", **options).path


def answers(target: Path, pictures: list[Path]) -> list[tuple[list[str], list[str]]]:
    """The ranked classes and the prediction set of each picture."""
    results = rc.predict(target, pictures, top=3, set=0.9)
    return [([item["class"] for item in one["predictions"]], one["set"]) for one in results]


def shares(target: Path, pictures: list[Path]) -> np.ndarray:
    results = rc.predict(target, pictures, top=3)
    return np.array(
        [[{p["class"]: p["probability"] for p in one["predictions"]}[c] for c in CLASSES] for one in results]
    )


@pytest.mark.parametrize("form", [{}, {"input": "raw"}])
def test_an_onnx_file_predicts_as_the_weights(run: runs.RunDir, pictures: list[Path], form: dict[str, Any]) -> None:
    path = exported(run, **form)
    assert answers(path, pictures) == answers(run.weights, pictures)
    assert np.allclose(shares(path, pictures), shares(run.weights, pictures), atol=1e-5)


def test_the_temperature_is_in_the_graph_and_in_the_metadata(run: runs.RunDir) -> None:
    for form in ({}, {"input": "raw"}):
        session = onnxruntime.InferenceSession(exported(run, **form))
        given = session.get_inputs()[0]
        pixels = np.full((1, 8, 8, 1), 99, np.uint8) if form else np.full((1, 1, 8, 8), 99 / 255, np.float32)
        logits, probabilities = session.run(["logits", "probabilities"], {given.name: pixels})
        scaled = np.exp(logits.astype(float) / CALIBRATION.temperature)
        assert np.allclose(probabilities, scaled / scaled.sum(1, keepdims=True), atol=1e-6)
        about = session.get_modelmeta().custom_metadata_map
        assert float(about["temperature"]) == CALIBRATION.temperature
        assert json.loads(about["prediction_sets"]) == dict(CALIBRATION.sets)


def test_a_temperature_changes_probabilities_and_no_answer(run: runs.RunDir, pictures: list[Path]) -> None:
    plain = make_run(dataclasses.replace(card(make_store(name="other")), calibration=None), name="plain")
    sharp, soft = shares(plain.weights, pictures), shares(run.weights, pictures)
    assert (sharp.argmax(1) == soft.argmax(1)).all()
    assert (sharp.max(1) > soft.max(1)).all()


@pytest.mark.parametrize("name", ["triton", "hub"])
def test_an_exporter_carries_the_calibration(run: runs.RunDir, name: str) -> None:
    folder = exported(run, to=name, out=f"to-{name}")
    about = json.loads((folder / "resnetctl.json").read_text())
    assert about["card"]["calibration"] == CALIBRATION.to_json()
    assert about["checked"] is True


def test_a_report_is_the_same_for_weights_and_for_both_onnx_files(run: runs.RunDir) -> None:
    first, *others = (rc.report(path) for path in (run.path, exported(run), exported(run, input="raw")))
    for other in others:
        assert other.accuracy.confusion == first.accuracy.confusion
        assert other.weights == first.weights
        ours, theirs = first.to_json()["calibration"], other.to_json()["calibration"]
        assert theirs["temperature"] == ours["temperature"]
        assert theirs["nll"] == pytest.approx(ours["nll"], abs=1e-4)
