"""`eval` of networks with a head: the numbers of the task, the same from weights and from ONNX."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import dense, heads

from resnetctl.errors import DataError, UsageError
from resnetctl.system import settings
from resnetctl.tasks.evaluate import evaluate
from resnetctl.tasks.export import export
from resnetctl.tasks.nets.measured import NetOutcome


@pytest.fixture(autouse=True)
def tiny() -> Iterator[None]:
    with heads.registered():
        yield


KEYS = {
    "boxes": ({"map50", "map", "per_class", "count"}, {"name", "count", "ap50", "ap"}),
    "masks": ({"miou", "pixel_accuracy", "per_class", "count"}, {"name", "count", "iou"}),
}


@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_weights_and_onnx_file_give_the_same_numbers(kind: str, tmp_path: Path) -> None:
    heads.stored(kind, tmp_path)
    run = heads.run(kind, "epochs=8", "lr=0.003")
    found = evaluate(run.path, settings=settings.load())
    assert isinstance(found, NetOutcome)
    body = found.to_json()
    keys, per_class = KEYS[kind]
    assert keys <= body.keys()
    assert all(row.keys() == per_class for row in body["per_class"])
    assert body["count"] == 2
    assert json.loads((run.path / "eval/scenes-test.json").read_text())["split"] == "test"
    report = export(run.path, settings=settings.load())
    assert report.parity is not None
    assert report.parity.agreement == 1
    assert report.head, "the screen speaks of answers, not of top-1"
    other = evaluate(run.onnx, settings=settings.load())
    assert isinstance(other, NetOutcome)
    for name, value in found.measured.figures.items():
        assert other.measured.figures[name] == pytest.approx(value, abs=1e-4)


def test_the_classes_of_the_data_may_have_another_order(tmp_path: Path) -> None:
    heads.stored("masks", tmp_path)
    run = heads.run("masks", "epochs=6", "lr=0.003")
    own = evaluate(run.path, settings=settings.load(), split="val")
    source = dense.masked(tmp_path / "other", 24, names="ground 0\ndisc 2\nbar 1\n")
    dense.added(source, settings.load().data_dir, "turned")
    turned = evaluate(run.path, settings=settings.load(), data="turned", split="val")
    assert isinstance(own, NetOutcome)
    assert isinstance(turned, NetOutcome)
    assert turned.measured.figures == own.measured.figures


def test_other_data_and_limits_of_classifiers_are_errors(tmp_path: Path) -> None:
    heads.stored("boxes", tmp_path)
    run = heads.run("boxes", "epochs=1")
    with pytest.raises(DataError, match="answers with boxes, and 'digits' has labels"):
        evaluate(run.path, settings=settings.load(), data="digits")
    with pytest.raises(UsageError, match="no classifier"):
        evaluate(run.path, settings=settings.load(), min_accuracy=0.5)


@pytest.mark.parametrize("form", [{"input": "raw"}, {"to": "hub"}])
def test_other_forms_of_export_are_refused(form: dict[str, str], tmp_path: Path) -> None:
    heads.stored("masks", tmp_path)
    run = heads.run("masks", "epochs=1")
    with pytest.raises(UsageError, match="exported as an ONNX file of floats only"):
        export(run.path, settings=settings.load(), **form)  # type: ignore[arg-type]
