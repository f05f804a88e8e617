"""`data check --near` names test images that train has too."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.pictures import write_tree
from support.shots import saved_again, shots
from support.toy_dataset import done, run

from resnetctl.data.splits import open_eval_set
from resnetctl.data.store import Store, build, open_store
from resnetctl.spec import DatasetCard, ImageSpec
from resnetctl.system.settings import Settings
from resnetctl.tasks import near
from resnetctl.tasks.data.add import AddRequest, add
from resnetctl.tasks.data.check import check

TRAIN, OTHER = shots(120), shots(60, seed=1)
IMAGE = ImageSpec(size=32, channels=3, mean=(0.5,) * 3, std=(0.25,) * 3)


def stored(settings: Settings, *, held_out: str, images: np.ndarray, shift: int = 0) -> Store:
    """Store `TRAIN` and the held-out images; labels alternate, those held out with a shift."""
    card = DatasetCard(name="shots", classes=("a", "b"), image=IMAGE, splits={})
    with build(settings.data_dir, "shots", draft=card) as builder:
        for split, pictures, first in (("train", TRAIN, 0), (held_out, images, shift)):
            for row, image in enumerate(pictures):
                builder.add(split, image, label="ab"[(row + first) % 2], name=f"{split}/{row}.png", sha256="")
    return open_store(settings.data_dir, "shots")


@pytest.mark.parametrize("held_out", ["test", "val"])
def test_planted_pairs_are_named_with_their_labels(settings: Settings, held_out: str) -> None:
    stored(settings, held_out=held_out, images=np.concatenate([saved_again(TRAIN[:2]), OTHER]), shift=1)
    report, facts = run(check("shots", settings, near=True))
    assert {next(iter(pair.to_json())) for pair in report.pairs} == {held_out}
    named = {(pair.name, pair.train) for pair in report.pairs}
    assert named == {(f"{held_out}/{row}.png", f"train/{row}.png") for row in range(2)}
    assert not any(pair.is_same_class for pair in report.pairs)
    (finding,) = (item for item in report.findings if item.code == "near_duplicates")
    assert (finding.severity, finding.count) == ("warning", 2)
    assert not report.failed
    assert facts[-1].what == f"comparing {held_out} with train"
    assert report.to_json()["pairs"][0].keys() == {held_out, "train", "score", "same_class"}


def test_images_that_are_alike_are_said(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(settings, held_out="test", images=np.concatenate([saved_again(TRAIN[:20], quality=30), TRAIN[20:22]]))
    monkeypatch.setattr(near, "CHUNK", 50)
    report = done(check("shots", settings, near=True))
    assert "images_alike" in [finding.code for finding in report.findings]
    assert {pair.train for pair in report.pairs} >= {"train/20.png", "train/21.png"}
    assert all(pair.score >= 0.99 for pair in report.pairs)


def photos(folder: Path, held_out: np.ndarray) -> Path:
    """Write `TRAIN` as train/ and the held-out images as test/, in two classes, and one file that is cut."""
    for split, images in (("train", TRAIN), ("test", held_out)):
        for row, image in enumerate(images):
            path = folder / split / "ab"[row % 2] / f"{row}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    (folder / "train/a/cut.png").write_bytes((folder / "train/a/0.png").read_bytes()[:200])
    return folder


def test_a_folder_is_searched_as_it_would_be_split_and_is_not_stored(tmp_path: Path, settings: Settings) -> None:
    folder = photos(tmp_path / "photos", np.concatenate([OTHER, saved_again(TRAIN[4:6])]))
    report = done(check(str(folder), settings, near=True))
    named = {(Path(pair.name).name, Path(pair.train).name) for pair in report.pairs}
    assert named == {("60.png", "4.png"), ("61.png", "5.png")}
    assert [finding.code for finding in report.findings] == ["unreadable", "near_duplicates"]
    assert not settings.data_dir.exists()
    done(add(AddRequest(path=folder, name="photos", on_bad_image="skip"), settings))
    assert done(check("photos", settings, near=True)).pairs == report.pairs


def test_a_folder_that_cannot_be_stored_is_checked_without_pairs(tmp_path: Path, settings: Settings) -> None:
    write_tree(tmp_path / "photos", {f"{label}/{row}.png": b"cut" for label in "ab" for row in range(2)})
    report, facts = run(check(str(tmp_path / "photos"), settings, near=True))
    assert (report.failed, report.pairs) == (True, None)
    assert any("near-duplicates are not searched" in getattr(fact, "text", "") for fact in facts)


def test_without_near_there_are_no_pairs(settings: Settings) -> None:
    stored(settings, held_out="test", images=OTHER)
    assert "pairs" not in done(check("shots", settings)).to_json()
    assert done(check("shots", settings, near=True)).pairs == ()


@pytest.mark.parametrize(
    "changed",
    [lambda images: images[:, :, ::-1], lambda images: np.roll(images, (1, -2), axis=(1, 2))],
    ids=["mirrored", "shifted"],
)
def test_a_changed_copy_is_named_and_its_class_compared(
    settings: Settings, changed: Callable[[np.ndarray], np.ndarray]
) -> None:
    stored(settings, held_out="test", images=np.concatenate([OTHER, changed(TRAIN[4:6])]))
    report = done(check("shots", settings, near=True))
    named = sorted((pair.name, pair.train, pair.is_same_class) for pair in report.pairs)
    assert named == [("test/60.png", "train/4.png", True), ("test/61.png", "train/5.png", True)]
    (finding,) = (item for item in report.findings if item.code == "near_duplicates")
    assert set(finding.names) == {"test/60.png", "test/61.png"}
    assert "2 images of test may be in train too" in finding.message


def test_an_image_of_train_that_test_has_three_times_gives_three_pairs(settings: Settings) -> None:
    stored(settings, held_out="test", images=np.concatenate([OTHER, *[TRAIN[7:8]] * 3]))
    report = done(check("shots", settings, near=True))
    assert sorted(pair.name for pair in report.pairs) == ["test/60.png", "test/61.png", "test/62.png"]
    assert {pair.train for pair in report.pairs} == {"train/7.png"}


def test_data_without_a_held_out_split_has_nothing_to_compare(settings: Settings) -> None:
    card = DatasetCard(name="shots", classes=("a", "b"), image=IMAGE, splits={})
    with build(settings.data_dir, "shots", draft=card) as builder:
        for row, image in enumerate(TRAIN[:20]):
            builder.add("train", image, label="ab"[row % 2], name=f"{row}.png", sha256="")
    report = done(check("shots", settings, near=True))
    assert report.pairs == ()
    assert "near_duplicates" not in [finding.code for finding in report.findings]


def test_a_second_search_reads_the_pairs_of_the_first(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    store = stored(settings, held_out="test", images=np.concatenate([saved_again(TRAIN[:2]), OTHER]))
    first, _ = done(near.near_duplicates(store))
    (kept,) = store.path.glob("near-*.json")
    with monkeypatch.context() as patch:
        patch.setattr(near, "pairs", None)
        assert done(near.near_duplicates(store))[0] == first
    for damage in ("{}", '{"pairs": [[1]]}', '{"pairs": [[1, 99999, 0.9]]}', '{"pairs": [[1, 1, "nan"]]}', "["):
        kept.write_text(damage)
        assert done(near.near_duplicates(store))[0] == first, damage


def test_a_val_split_that_was_drawn_from_train_is_compared_with_the_rest(settings: Settings) -> None:
    card = DatasetCard(name="shots", classes=("a", "b"), image=IMAGE, splits={})
    with build(settings.data_dir, "shots", draft=card) as builder:
        for row, image in enumerate(np.concatenate([TRAIN, saved_again(TRAIN[:1])])):
            builder.add("train", image, label="ab"[row % 2], name=f"{row}.png", sha256="")
    store = open_store(settings.data_dir, "shots")
    val = dataclasses.replace(open_eval_set(store, "train", val_split=None), split="val", index=np.arange(3))
    found = done(near.compare(store, val))
    assert [(pair.name, pair.train, pair.row, pair.other) for pair in found.pairs] == [("0.png", "120.png", 0, 120)]
