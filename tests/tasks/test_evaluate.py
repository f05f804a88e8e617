"""`eval` measures the right images against the right classes, and writes a report."""

import csv
import dataclasses
import errno
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from support.pictures import grey, write_tree
from support.trained import CLASSES, IMAGE, card, make_run, make_store, network

from resnetctl import registry
from resnetctl.data.splits import open_eval_set, open_sets
from resnetctl.data.store import Store
from resnetctl.data.store import build as build_store
from resnetctl.engine.meters.gates import Gates
from resnetctl.errors import CheckFailed, DataError, UsageError, WorkFailed
from resnetctl.hints import Setting
from resnetctl.models import archs
from resnetctl.models.published import PUBLISHED
from resnetctl.models.resnet import build
from resnetctl.spec import DatasetCard, ImageSpec, Split, ValSplit
from resnetctl.system import settings, storage
from resnetctl.tasks import evaluate as task
from resnetctl.tasks import held_out
from resnetctl.tasks.evaluate import evaluate
from resnetctl.tasks.export import export
from resnetctl.tasks.held_out import class_order, trained_on
from resnetctl.weights.file import to_bytes

CONSTANT = (  # of the untrained network, which gives one answer
    "never predicted: 'bee' (12 images), 'cow' (12 images)",
    "the accuracy is no better than always answering 'ape'",
)


@pytest.fixture
def store() -> Store:
    return make_store()


def by_hand(store: Store, rows: np.ndarray, split: str) -> list[int]:
    """Predicted labels of rows, computed with torch alone."""
    images = torch.from_numpy(store.split(split).images[rows].astype(np.float32)).permute(0, 3, 1, 2)
    with torch.no_grad():
        return network()((images / 255 - 0.4) / 0.3).argmax(1).tolist()


def test_the_newest_run_is_measured_on_test(store: Store) -> None:
    run = make_run(card(store))
    outcome = evaluate(None, settings=settings.load())
    labels = store.split("test").labels
    right = sum(a == b for a, b in zip(by_hand(store, np.arange(36), "test"), labels.tolist(), strict=True))
    assert (outcome.report.count, outcome.report.correct) == (36, right)
    assert (outcome.data, outcome.split, outcome.target) == ("zoo", "test", run.weights)
    assert outcome.notices == CONSTANT


def test_equal_images_have_an_equal_digest_and_other_images_another(store: Store) -> None:
    make_run(card(store))
    test, again, val = (evaluate(None, settings=settings.load(), split=split) for split in ("test", "test", "val"))
    assert len({test.images, again.images}) == 1
    assert test.to_json()["images"] == test.images != val.images
    assert len(test.images) == 64


@pytest.mark.parametrize("as_onnx", [False, True])
def test_flip_averages_the_logits_of_each_image_and_its_mirror_image(store: Store, as_onnx: bool) -> None:
    run = make_run(card(store))
    target = export("first", settings=settings.load()).path if as_onnx else run.path
    plain = evaluate(target, settings=settings.load())
    outcome = evaluate(target, settings=settings.load(), tta="flip")
    rows = torch.from_numpy(store.split("test").images.astype(np.float32)).permute(0, 3, 1, 2)
    images = (rows / 255 - 0.4) / 0.3
    with torch.no_grad():
        logits = (network()(images) + network()(images.flip(3))) / 2
    labels = torch.from_numpy(store.split("test").labels)
    loss = torch.nn.functional.cross_entropy(logits, labels).item()
    assert outcome.report.loss == pytest.approx(loss, rel=1e-5)
    assert outcome.report.loss != pytest.approx(plain.report.loss, rel=1e-6), "the images are no mirror images"
    assert (plain.to_json()["tta"], outcome.to_json()["tta"]) == ("none", "flip")
    assert outcome.written == run.path / "eval" / f"zoo-test{'-onnx' * as_onnx}-flip.json"
    assert outcome.looks is not None
    assert outcome.looks.models == 1, "it is the same network"


def test_flip_is_remarked_where_a_mirrored_image_may_have_another_class(store: Store) -> None:
    make_run(card(store))
    document = store.card.to_json() | {"defaults": {"mirror": False}}
    next(store.path.glob("*.json")).write_text(json.dumps(document))
    assert any("mirrored" in notice for notice in evaluate(None, settings=settings.load(), tta="flip").notices)
    assert not any("mirrored" in notice for notice in evaluate(None, settings=settings.load()).notices)


def test_an_unknown_test_time_augmentation_is_refused(store: Store) -> None:
    make_run(card(store))
    with pytest.raises(UsageError, match="'mirror' is no test-time augmentation"):
        evaluate(None, settings=settings.load(), tta="mirror")  # type: ignore[typeddict-item]


def test_the_report_is_written_into_the_run(store: Store) -> None:
    run = make_run(card(store))
    outcome = evaluate("first", settings=settings.load())
    assert outcome.written == run.path / "eval" / "zoo-test.json"
    assert json.loads(outcome.written.read_text()) == json.loads(json.dumps(outcome.to_json()))


def test_the_json_document_has_the_documented_keys(store: Store) -> None:
    make_run(card(store))
    document = evaluate(None, settings=settings.load()).to_json()
    assert next(iter(document)) == "schema"
    assert document["schema"] == "resnetctl.eval/1"
    assert document["top5"] is None
    wanted = {"top1", "top5", "loss", "count", "correct", "per_class", "confusion", "seconds", "data", "split"}
    assert wanted <= document.keys()


def test_classes_that_the_split_has_no_image_of_are_named() -> None:
    make_run(card(make_store()))
    draft = DatasetCard(name="small", classes=("ape", "bee", "cow"), image=IMAGE, splits={})
    with build_store(settings.load().data_dir, "small", draft=draft) as builder:
        for label in ("ape", "bee"):
            for split in ("train", "test"):
                builder.add(split, np.zeros((8, 8, 1), np.uint8), label=label, name=label, sha256="")
    outcome = evaluate(None, settings=settings.load(), data="small")
    assert [item.name for item in outcome.report.without_images] == ["cow"]
    assert (
        "test has no image of 'cow': the accuracy says nothing about it, "
        "and the balanced accuracy is that of 2 of 3 classes"
    ) in outcome.notices


def test_val_is_cut_out_again_as_training_did(store: Store) -> None:
    make_run(card(store))
    outcome = evaluate(None, settings=settings.load(), split="val")
    _, val, _ = open_sets(store, val_fraction=0.2, seed=3)
    predicted = by_hand(store, val.index, "train")
    assert outcome.split == "val"
    assert outcome.report.count == len(val) == 18
    assert outcome.report.correct == sum(p == t for p, t in zip(predicted, val.labels[val.index], strict=True))


def test_train_is_what_val_left(store: Store) -> None:
    run = make_run(card(store))
    outcome = evaluate(None, settings=settings.load(), split="train")
    train, _, _ = open_sets(store, val_fraction=0.2, seed=3)
    predicted = by_hand(store, train.index, "train")
    assert (outcome.split, outcome.report.count) == ("train", 72)
    assert outcome.report.correct == sum(p == t for p, t in zip(predicted, train.labels[train.index], strict=True))
    assert outcome.notices[0] == "training saw these images, so the numbers say little about new ones"
    assert outcome.written == run.path / "eval" / "zoo-train.json"


def test_train_of_another_dataset_is_whole(store: Store) -> None:
    make_run(card(store))
    make_store(name="other")
    outcome = evaluate(None, settings=settings.load(), split="train", data="other")
    assert outcome.report.count == 90
    assert "training saw" not in outcome.notices[0]


@pytest.mark.parametrize(("split", "count"), [("test", 36), ("val", 18), ("train", 72)])
def test_the_file_of_images_names_each_image_with_its_loss(store: Store, split: Split, count: int) -> None:
    make_run(card(store))
    outcome = evaluate(None, settings=settings.load(), split=split, per_image="images.csv")
    assert outcome.per_image == Path("images.csv")
    rows = list(csv.DictReader(io.StringIO(Path("images.csv").read_text())))
    assert len(rows) == count
    assert {row["split"] for row in rows} == {split}
    losses = [float(row["loss"]) for row in rows]
    assert losses == sorted(losses, reverse=True)
    assert np.mean(losses) == pytest.approx(outcome.report.loss, rel=1e-4)
    assert sum(row["class"] == row["predicted"] for row in rows) == outcome.report.correct
    stored = store.split("train" if split == "val" else split)
    for row in rows:
        assert row["class"] == CLASSES[stored.labels[int(row["row"])]]
        assert row["file"].startswith(row["class"])
        assert float(row["probability"]) == pytest.approx(np.exp(-float(row["loss"])), rel=1e-4)


def test_a_place_for_the_file_of_images_is_checked_first(store: Store) -> None:
    make_run(card(store))
    Path("file").write_bytes(b"")
    with pytest.raises(UsageError, match="cannot write") as caught:
        evaluate(None, settings=settings.load(), per_image="file/images.csv")
    assert caught.value.hint == (Setting("per_image", "FILE"),)
    Path("folder").mkdir()
    for place, problem in (("folder", "another kind of file"), ("missing/images.csv", "folder does not exist")):
        with pytest.raises(UsageError, match=problem):
            evaluate(None, settings=settings.load(), per_image=place)


def test_a_file_of_images_that_fails_after_the_measuring_waits(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, data: bytes) -> None:
        raise WorkFailed("no space left", where=str(path))

    make_run(card(store))
    monkeypatch.setattr("resnetctl.tasks.held_out.storage.write", fail)
    outcome = evaluate(None, settings=settings.load(), per_image="images.csv")
    assert outcome.report.count == 36
    with pytest.raises(WorkFailed, match="the file of images was not written"):
        outcome.require()


def test_every_class_is_ranked(store: Store) -> None:
    make_run(card(store))
    rankings = evaluate(None, settings=settings.load()).to_json()["rankings"]
    assert [item["name"] for item in rankings] == list(CLASSES)
    assert all(0 <= item["roc_auc"] <= 1 for item in rankings)


def test_val_and_train_of_changed_data_are_measured_with_a_notice(store: Store) -> None:
    changed = {"name": "zoo", "digest": "0" * 64}
    make_run(card(store, split=ValSplit(val_fraction=0.2, seed=3, digest="0" * 64), trained_on=changed))
    splits: tuple[Split, ...] = ("train", "val", "test")
    told = {split: " ".join(evaluate(None, settings=settings.load(), split=split).notices) for split in splits}
    assert "they may have seen images of its val" in told["val"]
    assert "they may not know all of this train" in told["train"]
    assert "they may have seen images of its test" in told["test"]


def test_val_without_a_val_split_is_refused(store: Store) -> None:
    make_run(card(store, val_fraction=0.0))
    with pytest.raises(DataError, match="no val split"):
        evaluate(None, settings=settings.load(), split="val")


def test_val_replaces_a_missing_test_with_a_notice() -> None:
    store = make_store(splits={"train": 9, "val": 4})
    make_run(card(store))
    outcome = evaluate(None, settings=settings.load())
    assert (outcome.split, outcome.report.count) == ("val", 12)
    assert "has no test split: measured val" in outcome.notices[0]


def test_data_that_changed_since_training_gets_a_notice(store: Store) -> None:
    make_run(card(store, trained_on={"name": "zoo", "digest": "0" * 64}))
    assert "has changed since" in evaluate(None, settings=settings.load()).notices[0]


def test_a_test_that_was_kept_is_said_to_be_unseen(store: Store) -> None:
    """And on val or train nothing is said of test."""
    make_run(card(store, trained_on={"name": "zoo", "digest": "0" * 64}))
    written = json.loads((store.path / "card.json").read_text())
    (store.path / "card.json").write_text(json.dumps({**written, "replaced": {"0" * 64: False}}))
    assert evaluate(None, settings=settings.load()).notices[0] == (
        "dataset 'zoo' was replaced since the weights were trained on it; its test has no image that they saw"
    )
    told = " ".join(evaluate(None, settings=settings.load(), split="train").notices)
    assert "they may not know all of this train" in told
    assert "replaced" not in told
    assert "they have seen images of its val" in " ".join(evaluate(None, settings=settings.load(), split="val").notices)


def test_classes_in_another_order_count_the_same(store: Store) -> None:
    make_run(card(store))
    turned = make_store(name="turned", classes=CLASSES[::-1])
    assert np.array_equal(turned.split("test").images, store.split("test").images)
    assert not np.array_equal(turned.split("test").labels, store.split("test").labels)
    one = evaluate(None, settings=settings.load())
    other = evaluate(None, settings=settings.load(), data="turned")
    assert one.report.confusion == other.report.confusion
    assert [item.name for item in other.report.per_class] == list(CLASSES)


def test_data_with_other_classes_is_refused_with_the_difference(store: Store) -> None:
    make_run(card(store))
    make_store(name="farm", classes=("ape", "cow", "dog", "emu"))
    with pytest.raises(DataError, match="differ") as caught:
        evaluate(None, settings=settings.load(), data="farm")
    assert caught.value.problems == ("only the network has: bee", "only the dataset has: dog, emu")
    assert caught.value.exit_code == 3


def test_a_long_difference_of_classes_is_shortened() -> None:
    with pytest.raises(DataError) as caught:
        class_order([f"c{i}" for i in range(30)], ["c0"], name="many")
    assert caught.value.problems[0].endswith("c10 and 19 more")


def test_class_order_maps_labels_to_outputs() -> None:
    assert class_order(("b", "c", "a"), ("a", "b", "c"), name="x").tolist() == [1, 2, 0]


def photos(folder: Path, classes: tuple[str, ...] = CLASSES) -> Path:
    """Write ten grey pictures for each class, and return the folder."""
    files = {}
    for place, name in enumerate(classes):
        files |= {f"{name}/{number}.png": grey(60 * place + number, (8, 8)) for number in range(10)}
    return write_tree(folder, files)


def test_a_folder_is_stored_first_and_measured_by_class_name(store: Store) -> None:
    make_run(card(store))
    folder = photos(Path("photos"), CLASSES[::-1])
    outcome = evaluate(None, settings=settings.load(), data=str(folder.absolute()))
    assert (outcome.data, outcome.report.count) == ("photos", 6)
    assert f"adding {folder.absolute()} to the store as 'photos'" in outcome.notices
    assert "measured the test part of 'photos', 6 of 30 images" in outcome.notices
    again = evaluate(None, settings=settings.load(), data="photos")
    assert again.report.confusion == outcome.report.confusion


def test_a_folder_with_other_classes_is_refused(store: Store) -> None:
    make_run(card(store))
    photos(Path("photos"), ("ape", "bee", "emu"))
    with pytest.raises(DataError, match="differ"):
        evaluate(None, settings=settings.load(), data="./photos")


def test_images_that_are_resized_twice_are_told_since_predict_resizes_them_once(store: Store) -> None:
    weights = Path("small.safetensors")
    small = card(store, image=dataclasses.replace(IMAGE, size=4, resize=4))
    weights.write_bytes(to_bytes(network().state_dict(), small))
    notices = evaluate(weights, settings=settings.load()).notices
    assert ["stored with 8 px and reduced to 4 px" in text for text in notices if "px" in text] == [True]
    weights.write_bytes(to_bytes(network().state_dict(), card(store)))
    assert not any("px" in text for text in evaluate(weights, settings=settings.load()).notices)


def test_a_published_accuracy_is_named_with_what_differs(store: Store) -> None:
    make_run(card(store))
    assert evaluate(None, settings=settings.load()).to_json()["published"] is None
    Path("plain").mkdir()
    net = build(archs.resnet20, classes=3, image=IMAGE)
    described = card(store, arch=archs.resnet20.resolve_stem(8))
    (Path("plain") / "net.safetensors").write_bytes(to_bytes(net.state_dict(), described))
    outcome = evaluate("plain/net.safetensors", settings=settings.load())
    assert outcome.to_json()["published"]["accuracy"] == 0.9125
    assert outcome.incomparable == ("other images", "other image size or channels")


def test_data_that_only_has_the_name_is_not_the_published_one(store: Store) -> None:
    fake = make_store(name="cifar10")
    images = open_eval_set(fake, "test", val_split=None)
    spec = dataclasses.replace(card(fake), image=ImageSpec(size=32))
    assert list(task._incomparable(PUBLISHED["resnet20"], fake, images, spec)) == ["other images"]
    genuine = dict(registry.get("dataset", "cifar10").card.digests)
    real = dataclasses.replace(fake, card=dataclasses.replace(fake.card, digests=genuine))
    assert list(task._incomparable(PUBLISHED["resnet20"], real, images, spec)) == []


def test_weights_that_name_no_dataset_need_the_data_setting(machine: Path, store: Store) -> None:
    path = machine / "net.safetensors"
    path.write_bytes(to_bytes(network().state_dict(), card()))
    with pytest.raises(DataError, match="do not name the dataset") as caught:
        evaluate(path, settings=settings.load())
    assert caught.value.hint[0].settings == {"data": "NAME"}
    outcome = evaluate(path, settings=settings.load(), data="zoo")
    assert outcome.written is None
    assert outcome.report.count == 36


def test_trained_on_names_the_dataset_of_the_weights(store: Store) -> None:
    assert trained_on(card(store), Path("x")) == "zoo"


def test_an_unknown_dataset_gets_a_suggestion(store: Store) -> None:
    make_run(card(store))
    with pytest.raises(DataError) as caught:
        evaluate(None, settings=settings.load(), data="zooo")
    assert "did you mean 'zoo'?" in caught.value.hint


def test_limits_are_checked_after_the_report(store: Store) -> None:
    make_run(card(store))
    outcome = evaluate(None, settings=settings.load(), min_accuracy=1.0, min_per_class=0.0)
    shown = dict(outcome.rows())
    assert "below the required 100 %" in shown["failed"]
    assert shown["min accuracy"] == "100.0%"
    assert re.fullmatch(r"[\d.]+%", shown["balanced accuracy"])
    assert outcome.report.count == 36
    assert outcome.written is not None
    assert outcome.to_json()["min_accuracy"] == 1.0
    assert outcome.to_json()["min_lower"] is None
    with pytest.raises(CheckFailed, match="below the required 100 %") as caught:
        outcome.require()
    assert caught.value.exit_code == 5
    dataclasses.replace(outcome, gates=Gates(min_accuracy=outcome.report.top1)).require()
    dataclasses.replace(outcome, gates=Gates()).require()


def test_a_limit_that_is_not_a_fraction_is_refused_before_the_measurement() -> None:
    with pytest.raises(UsageError, match="fraction") as caught:
        evaluate("nowhere", settings=settings.load(), min_lower=97.0)
    assert caught.value.hint == (Setting("min_lower", 0.97),)


def test_a_constant_classifier_is_told(store: Store) -> None:
    make_run(card(store))
    outcome = evaluate(None, settings=settings.load(), min_accuracy=0.3)
    outcome.require()
    assert outcome.report.top1 == outcome.report.baseline
    assert outcome.notices == CONSTANT
    with pytest.raises(CheckFailed, match="required limits"):
        dataclasses.replace(outcome, gates=Gates(min_per_class=0.5)).require()


def test_classes_without_images_are_named_when_each_class_has_a_limit(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(card(store))
    monkeypatch.setattr(
        held_out, "eval_batches", lambda images, spec, **more: [(images.images[:9], np.zeros(9, np.int64))]
    )
    outcome = evaluate(None, settings=settings.load(), min_per_class=0.0)
    assert outcome.notices[-1] == "not checked, because the split has no image of them: bee, cow"


def test_a_run_that_cannot_be_written_still_reports(store: Store) -> None:
    run = make_run(card(store))
    (run.path / "eval").write_bytes(b"")
    outcome = evaluate(None, settings=settings.load())
    assert (outcome.report.count, outcome.written) == (36, None)
    with pytest.raises(UsageError, match="the report was not written: cannot write: ") as caught:
        outcome.require()
    assert str(run.path / "eval") in outcome.to_json()["unwritten"]
    assert caught.value.exit_code == 2
    with pytest.raises(CheckFailed):  # what the user asked for comes first
        dataclasses.replace(outcome, gates=Gates(min_accuracy=1.0)).require()


@pytest.mark.parametrize(
    ("number", "error"), [(errno.EACCES, UsageError), (errno.EROFS, WorkFailed), (errno.ENOSPC, WorkFailed)]
)
def test_a_disk_that_refuses_the_report_loses_no_number(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    make_run(card(store))

    def refuse(*args: object, **options: object) -> None:
        raise OSError(number, "refused", "x")

    monkeypatch.setattr(storage.tempfile, "mkstemp", refuse)
    outcome = evaluate(None, settings=settings.load())
    assert outcome.report.count == 36
    with pytest.raises(error, match="the report was not written"):
        outcome.require()


def test_the_onnx_file_gives_the_same_numbers_as_the_weights(store: Store) -> None:
    run = make_run(card(store))
    weights = evaluate(None, settings=settings.load())
    export(None, settings=settings.load())
    onnx = evaluate(run.onnx, settings=settings.load())
    assert onnx.report.confusion == weights.report.confusion
    assert onnx.report.loss == pytest.approx(weights.report.loss, rel=1e-5)
    assert onnx.written == run.path / "eval" / "zoo-test-onnx.json"


def test_a_raw_file_gives_the_same_numbers_as_the_weights(store: Store) -> None:
    """The file resizes the 8x8 images of the store to 10 pixels and cuts out 8, as the weights' card asks."""
    larger = dataclasses.replace(card(store).image, resize=10)
    run = make_run(card(store, image=larger))
    weights = evaluate(None, settings=settings.load())
    export(None, settings=settings.load(), input="raw")
    raw = evaluate(run.raw_onnx, settings=settings.load())
    assert raw.report.confusion == weights.report.confusion
    assert raw.report.loss == pytest.approx(weights.report.loss, rel=1e-5)
    assert raw.written == run.path / "eval" / "zoo-test-onnx-raw.json"
