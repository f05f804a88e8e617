"""`eval` of networks with a head: the numbers of the task, the same from weights and from ONNX."""

import csv
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support import dense, heads

from resnetctl import registry, runs
from resnetctl.data.store import Store
from resnetctl.engine.meters.gates import Gates
from resnetctl.errors import CheckFailed, DataError, UsageError, WorkFailed
from resnetctl.spec import Boxes, Figure, Measured, Output
from resnetctl.system import settings
from resnetctl.tasks.evaluate import evaluate
from resnetctl.tasks.export import export
from resnetctl.tasks.nets.answers import Answering
from resnetctl.tasks.nets.measured import NetOutcome, measure_net
from resnetctl.tasks.targets import Target


@pytest.fixture(autouse=True)
def tiny() -> Iterator[None]:
    with heads.registered():
        yield


KEYS = {
    "boxes": ({"map50", "map", "per_class", "count"}, {"name", "count", "ap50", "ap", "interval"}),
    "masks": ({"miou", "pixel_accuracy", "per_class", "count"}, {"name", "count", "iou", "interval"}),
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


def net_of(task: str, answer: Callable[[np.ndarray[Any, Any]], Any], store: Store, **card: Any) -> Answering:
    """A network that answers with what the test says."""
    known = {
        "image": store.card.image,
        "classes": store.card.classes,
        "task": task,
        "trained_on": {},
        "thresholds": (),
        "vector": None,
    }
    whole: Any = SimpleNamespace(**known | {"metrics": {}, "split": {}, **card})
    return Answering(card=whole, digest="", task=registry.get("task", task), answer=answer)


NOWHERE = Target(path=Path("m.safetensors"), kind="weights", run=None)


def measured(net: Answering, store: Store, split: Any = "test") -> NetOutcome:
    return measure_net(net, store, split=split, target=NOWHERE)


@pytest.mark.parametrize("fit", ["pad", "squash"])
@pytest.mark.parametrize("scale", [1, 2])
def test_the_truth_itself_has_map_1_at_every_size_of_the_network(tmp_path: Path, fit: str, scale: int) -> None:
    store = dense.added(dense.voc(tmp_path / "voc", 24), tmp_path / "data", fit=fit)
    truth = store.split("train").truth
    assert truth is not None
    taken = itertools.count()

    def answer(pixels: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        boxes, labels = np.zeros((len(pixels), 3, 4), np.float32), np.full((len(pixels), 3), -1)
        for row in range(len(pixels)):
            first, last = truth.offsets[(number := next(taken)) : number + 2]
            boxes[row, : last - first], labels[row, : last - first] = (
                truth.boxes[first:last] * scale,
                truth.labels[first:last],
            )
        return boxes, np.where(labels < 0, 0.0, 0.9), labels

    image = replace(store.card.image, size=40 * scale, resize=40 * scale)
    report = measured(net_of("detect", answer, store, image=image), store, "train").to_json()
    assert (report["map50"], report["map"], report["count"]) == (1, 1, 20)
    assert (report["primary"], report["epoch"], report["unwritten"]) == ("map50", None, None)
    assert [row["count"] for row in report["per_class"]] == np.bincount(truth.labels).tolist()


@pytest.mark.parametrize("classes", [("ground", "bar", "disc"), ("disc", "ground", "bar")])
def test_the_masks_themselves_have_miou_1_in_any_order_of_classes(tmp_path: Path, classes: tuple[str, ...]) -> None:
    store = dense.added(dense.masked(tmp_path / "masks"), tmp_path / "data")
    truth = store.split("test").truth
    assert truth is not None
    assert truth.masks is not None
    order = np.array([classes.index(name) for name in store.card.classes] + [0] * 253)
    report = measured(net_of("segment", lambda _: (order[truth.masks],), store, classes=classes), store).to_json()
    assert (report["miou"], report["pixel_accuracy"], report["count"]) == (1, 1, 2)
    assert [row["name"] for row in report["per_class"]] == [*classes]


def test_a_class_that_a_limit_cannot_check_is_named(tmp_path: Path) -> None:
    source = dense.voc(tmp_path / "voc")
    for name in ("p08", "p09"):  # the pictures of val
        (source / f"Annotations/{name}.xml").write_text(dense.xml(f"{name}.jpg", [(1, 1, 9, 9, "bar")]))
    store = dense.added(source, tmp_path / "data")
    nothing = (np.zeros((2, 1, 4), np.float32), np.zeros((2, 1)), np.full((2, 1), -1))
    net = net_of("detect", lambda _: nothing, store)
    notice = "not checked, because the split has no image of them: disc"
    for limits, is_named in ((Gates(min_per_class=0.0), True), (Gates(), False)):
        found = measure_net(net, store, split="val", target=NOWHERE, gates=limits)
        assert (notice in found.notices) == is_named


def test_classes_that_the_data_does_not_have_and_other_truth_are_refused(tmp_path: Path) -> None:
    store = dense.added(dense.masked(tmp_path / "masks"), tmp_path / "data")
    net = net_of("segment", lambda _: (), store, classes=("ground", "bar", "car"))
    with pytest.raises(DataError, match="the classes of the network and of 'scenes' differ") as caught:
        measured(net, store)
    assert caught.value.problems == ("only the network has: car", "only the dataset has: disc")
    with pytest.raises(DataError, match="answers with boxes, and 'scenes' has masks"):
        measured(net_of("detect", lambda _: (), store), store)


def test_a_network_with_broken_weights_is_no_result(tmp_path: Path) -> None:
    store = dense.added(dense.voc(tmp_path / "voc"), tmp_path / "data")

    def answer(pixels: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        return np.full((len(pixels), 1, 4), np.nan, np.float32), np.ones((len(pixels), 1)), np.zeros((len(pixels), 1))

    with pytest.raises(WorkFailed, match="its weights are broken"):
        measured(net_of("detect", answer, store), store)


def test_a_report_that_cannot_be_written_still_has_its_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heads.stored("masks", tmp_path)
    run = heads.run("masks", "epochs=1")

    def full(*_: object) -> None:
        raise WorkFailed("no space left", where="eval")

    monkeypatch.setattr(runs.RunDir, "write_eval", full)
    found = evaluate(run.path, settings=settings.load())
    assert isinstance(found, NetOutcome)
    assert found.written is None
    body = found.to_json()
    assert "the report was not written: no space left" in body["unwritten"]
    assert body["count"] == 2
    with pytest.raises(WorkFailed, match="the report was not written"):
        found.require()


@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_limits_looks_and_the_file_of_images_are_as_for_classifiers(kind: str, tmp_path: Path) -> None:
    heads.stored(kind, tmp_path)
    run, machine = heads.run(kind, "epochs=1"), settings.load()
    primary = {"boxes": "map50", "masks": "miou"}[kind]
    path = tmp_path / "images.csv"
    found = evaluate(run.path, settings=machine, per_image=path, min_primary=1, min_lower=0)
    assert isinstance(found, NetOutcome)
    body = found.to_json()
    assert (body["min_primary"], body["min_lower"], body["min_per_class"]) == (1, 0, None)
    assert body["looks"] == {"models": 1, "interval": body["interval"]}
    with pytest.raises(CheckFailed, match=f"{primary} is .* below the required 100 %"):
        found.require()
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    first = {"boxes": "f1", "masks": "miou"}[kind]
    assert list(rows[0])[:4] == ["split", "row", "file", first]
    assert [float(row[first]) for row in rows] == sorted(float(row[first]) for row in rows)
    names = {
        "boxes": {"JPEGImages/p22.jpg", "JPEGImages/p23.jpg"},
        "masks": {"images/test/022.png", "images/test/023.png"},
    }
    assert {row["file"] for row in rows} == names[kind]
    assert body["per_image"] == str(path)


def test_a_second_network_widens_the_interval_of_both_and_val_has_no_ledger(tmp_path: Path) -> None:
    heads.stored("masks", tmp_path)
    machine = settings.load()
    one, two = (heads.run("masks", "epochs=1", f"seed={seed}", name=f"s{seed}") for seed in (1, 2))
    first = evaluate(one.path, settings=machine).to_json()
    again, second = (evaluate(run.path, settings=machine).to_json() for run in (one, two))
    assert [item["looks"]["models"] for item in (first, again, second)] == [1, 1, 2]
    (low, high), (wide_low, wide_high) = second["interval"], second["looks"]["interval"]
    assert wide_low <= low
    assert wide_high >= high
    assert wide_high - wide_low > high - low
    val = evaluate(one.path, settings=machine, split="val").to_json()
    assert val["looks"] is None
    assert len(val["images"]) == 64
    assert first["images"] == second["images"] != val["images"]
    (file,) = (machine.data_dir / "looks").glob("*.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["primary"] for line in lines] == ["miou", "miou"]
    assert lines[1]["value"] == second["miou"]


def test_a_task_without_numbers_of_images_writes_no_file_of_them(tmp_path: Path) -> None:
    store = dense.added(dense.masked(tmp_path / "masks"), tmp_path / "data")
    truth = store.split("test").truth
    assert truth is not None
    net = net_of("segment", lambda _: (truth.masks.clip(0, 2),), store)

    class Bare:
        def __init__(self, meter: Any) -> None:
            self.add, self._report = meter.add, meter.report

        def report(self) -> Measured:
            return replace(self._report(), per_image=())

    whole = net.task.meter
    task: Any = SimpleNamespace(truth="masks", outputs=net.task.outputs, meter=lambda classes: Bare(whole(classes)))
    with pytest.raises(UsageError, match="no numbers of single images"):
        measure_net(replace(net, task=task), store, split="test", target=NOWHERE, per_image=tmp_path / "x.csv")
    assert not (tmp_path / "x.csv").exists()


class Counts:
    """A task of a plugin: the number of boxes of each class, which has another form than boxes."""

    name, summary, truth, primary = "counts", "boxes of each class", "boxes", "right"
    outputs = (Output(name="counts", shape=("batch", "classes")),)

    def meter(self, classes: tuple[str, ...]) -> Any:
        return self.Meter(classes)

    class Meter:
        def __init__(self, classes: tuple[str, ...]) -> None:
            self._classes, self._right = classes, list[bool]()

        def add(self, prediction: tuple[np.ndarray[Any, Any], ...], truth: Boxes) -> None:
            for row, (boxes, labels) in enumerate(truth.split()):
                assert len(boxes) == 0 or float(boxes.max()) > 40  # pixels of the network, which are twice the store's
                wanted = np.bincount(labels.numpy(), minlength=len(self._classes))
                self._right.append(bool((prediction[0][row] == wanted).all()))

        def report(self) -> Measured:
            right = float(np.mean(self._right))
            return Measured(primary=Figure(name="right", value=right), count=len(self._right), figures={"right": right})


def test_a_task_of_a_plugin_with_outputs_of_another_form_is_measured(tmp_path: Path) -> None:
    store = dense.added(dense.voc(tmp_path / "voc", 24), tmp_path / "data")
    truth = store.split("train").truth
    assert truth is not None
    ends, taken = truth.offsets.tolist(), itertools.count()

    def answer(pixels: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        rows = [next(taken) for _ in pixels]
        own = [np.bincount(1 - truth.labels[ends[row] : ends[row + 1]], minlength=2) for row in rows]
        return (np.stack(own).astype(np.float32),)

    image = replace(store.card.image, size=80, resize=80)
    turned = store.card.classes[::-1]
    net = net_of("detect", answer, store, image=image, classes=turned)
    report = measured(replace(net, task=Counts()), store, "train").to_json()
    assert (report["right"], report["primary"], report["count"], report["per_class"]) == (1, "right", 20, [])
