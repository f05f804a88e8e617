"""Several labels per image, from the CSV file to the checked ONNX file."""

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support import dense, heads

import resnetctl as rc
from resnetctl.data.splits import open_eval_set
from resnetctl.data.store import open_store
from resnetctl.deploy import onnx_proto
from resnetctl.errors import ConfigError, UsageError
from resnetctl.runs import RunDir
from resnetctl.spec import HeadCard
from resnetctl.system import settings
from resnetctl.tasks.evaluate import evaluate
from resnetctl.tasks.export import export
from resnetctl.tasks.nets.measured import NetOutcome
from resnetctl.tasks.predict import predict
from resnetctl.tasks.report.nets import NetReport
from resnetctl.training.dense import chosen_thresholds
from resnetctl.weights.file import load, load_net, read_header, to_bytes


@pytest.fixture(autouse=True)
def tiny() -> Iterator[None]:
    with heads.registered():
        yield


def test_a_run_learns_two_labels_and_its_file_gives_the_same_numbers(tmp_path: Path) -> None:
    heads.stored("tags", tmp_path, count=48)
    run = heads.run("tags", "epochs=12", "lr=0.003", "val_fraction=0", "precision=fp32")
    card = read_header(run.weights).card
    assert card.head == HeadCard(name="tiny_tags", task="multilabel")
    path = tmp_path / "images.csv"
    found = evaluate(run.path, settings=settings.load(), split="train", per_image=path, min_primary=0.9)
    found.require()
    assert isinstance(found, NetOutcome)
    body = found.to_json()
    assert {"map", "f1", "exact"} <= body.keys()
    assert (body["primary"], body["count"]) == ("map", 44)
    assert [row["name"] for row in body["per_class"]] == ["bar", "disc"]
    assert [row["count"] for row in body["per_class"]] == [22, 22]
    with path.open(newline="") as file:
        assert list(next(csv.DictReader(file))) == ["split", "row", "file", "f1", "labels", "found"]
    chosen = with_thresholds(run)
    report = export(run.path, settings=settings.load())
    assert report.parity is not None
    assert report.parity.agreement == 1
    now, other = (evaluate(path, settings=settings.load(), split="train") for path in (run.path, run.onnx))
    assert isinstance(now, NetOutcome)
    assert isinstance(other, NetOutcome)
    assert now.measured.figures["f1"] >= found.measured.figures["f1"]
    for name, value in now.measured.figures.items():
        assert other.measured.figures[name] == pytest.approx(value, abs=1e-4)
    for outcome in (now, other):
        assert [row["threshold"] for row in outcome.measured.per_class] == [*chosen]
    assert json.loads(onnx_proto.read_properties(run.onnx.read_bytes())["thresholds"]) == [*chosen]


def with_thresholds(run: RunDir) -> tuple[float, ...]:
    """Write the thresholds that train chooses into the weights, as the end of a run does with those of val."""
    header = read_header(run.weights)
    images = open_eval_set(open_store(settings.load().data_dir, "scenes"), "train", val_split=None)
    assert header.card.head is not None
    found = chosen_thresholds(
        lambda: load_net(header), images, image=header.card.image, head=header.card.head, device=torch.device("cpu")
    )
    assert found is not None
    assert found.images == len(images)
    card = replace(header.card, calibration=found)
    run.weights.write_bytes(to_bytes(load(header).state, card))
    assert read_header(run.weights).card == card
    return found.thresholds


def test_predict_lists_the_likely_labels_of_each_picture(tmp_path: Path) -> None:
    heads.stored("tags", tmp_path)
    run = heads.run("tags", "epochs=1")
    picture = tmp_path / "tags/000.png"
    (found,) = predict(run.path, [picture], settings=settings.load(), min_score=0.0).results
    body = found.to_json("tags")
    assert {item["class"] for item in body["labels"]} == {"bar", "disc"}
    shares = [item["probability"] for item in body["labels"]]
    assert shares == sorted(shares, reverse=True)
    (result,) = rc.predict(run.path, picture, min_score=0.0)
    assert result["labels"] == body["labels"]
    (default,) = rc.predict(run.path, picture)
    assert default["labels"] == [item for item in body["labels"] if item["probability"] >= 0.5]
    with pytest.raises(UsageError, match="nothing to draw"):
        predict(run.path, [picture], settings=settings.load(), out=tmp_path / "drawn")


def test_the_report_has_classes_and_curves_but_no_drawn_pictures(tmp_path: Path) -> None:
    heads.stored("tags", tmp_path)
    found = rc.report(heads.run("tags", "epochs=2").path, split="val")
    assert isinstance(found, NetReport)
    body = found.to_json()
    assert (body["task"], len(body["worst"]), len(body["curves"])) == ("multilabel", 1, 2)
    page = found.write_html(tmp_path / "page.html").read_text()
    assert "Precision by recall" in page
    assert "<img" not in page


def test_the_classes_of_the_data_may_have_another_order(tmp_path: Path) -> None:
    heads.stored("tags", tmp_path)
    run = heads.run("tags", "epochs=3", "lr=0.003")
    own = evaluate(run.path, settings=settings.load(), split="train")
    file = dense.tagged(tmp_path / "turned", 24)
    file.write_text(file.read_text().replace("disc", "a disc").replace("bar", "b bar"))
    store = dense.added(file, settings.load().data_dir, "turned")
    assert store.card.classes == ("a disc", "b bar")
    card = store.path / "card.json"
    card.write_text(card.read_text().replace('"a disc"', '"disc"').replace('"b bar"', '"bar"'))
    turned = evaluate(run.path, settings=settings.load(), data="turned", split="train")
    assert isinstance(own, NetOutcome)
    assert isinstance(turned, NetOutcome)
    assert turned.measured.per_class == own.measured.per_class


def test_a_classifier_and_other_heads_are_refused_on_several_labels(tmp_path: Path) -> None:
    heads.stored("tags", tmp_path)
    with pytest.raises(ConfigError, match="'scenes' has tags: a head learns from them"):
        heads.run("tags", "model.head=")
    with pytest.raises(ConfigError, match="learns from masks, and 'scenes' has tags"):
        heads.run("tags", "model.head=tiny_seg")
    with pytest.raises(ConfigError, match="cannot move tags"):
        heads.run("tags", "augment=standard+cutout")


def test_the_store_keeps_the_tags_and_finds_damage(tmp_path: Path) -> None:
    heads.stored("tags", tmp_path)
    store = open_store(settings.load().data_dir, "scenes")
    truth = store.split("train").truth
    assert truth is not None
    assert truth.tags is not None
    assert truth.tags[:4].tolist() == [[1, 1], [1, 0], [0, 1], [0, 0]]
    assert truth.counts(np.arange(4), 2).tolist() == [2, 2]
    assert truth.empty(np.arange(4)) == 1
    assert store.card.image.fit == "pad"
    file = store.path / "train.truth.safetensors"
    data = bytearray(file.read_bytes())
    data[-40] ^= 1
    file.write_bytes(data)
    with pytest.raises(Exception, match="changed since it was stored"):
        store.split("train")
