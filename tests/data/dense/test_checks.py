"""`data check` knows boxes and masks, in a source and in the store."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import dense

from resnetctl.data.checks import Auditor
from resnetctl.data.dense.checks import check_dense_source, check_dense_store, count_objects
from resnetctl.data.dense.sniff import Dense, open_any
from resnetctl.data.store import Store


def source_codes(path: Path) -> dict[str, str]:
    auditor = Auditor()
    with open_any(path) as source:
        assert isinstance(source, Dense)
        *_, done = check_dense_source(source, auditor)
        assert done == len(source.annotated.scenes)
    return {item.code: item.message for item in auditor.findings}


def store_codes(store: Store) -> dict[str, str]:
    auditor = Auditor()
    list(check_dense_store(store, auditor))
    return {item.code: item.message for item in auditor.findings}


def test_a_good_source_has_no_findings_but_few_objects(tmp_path: Path) -> None:
    assert source_codes(dense.voc(tmp_path / "voc")).keys() == {"few-objects"}
    assert source_codes(dense.masked(tmp_path / "masks")) == {}


def test_bad_annotations_and_pictures_are_errors_and_flat_boxes_are_warnings(tmp_path: Path) -> None:
    folder = dense.voc(tmp_path / "voc")
    (folder / "Annotations/p00.xml").write_text(dense.xml("p00.jpg", [(9, 9, 4, 4, "bar")]))
    (folder / "Annotations/p01.xml").write_text(dense.xml("p01.jpg", [(9, 9, 9, 14, "bar")]))
    (folder / "JPEGImages/p02.jpg").write_bytes(b"x")
    (folder / "JPEGImages/p09.jpg").write_bytes((folder / "JPEGImages/p04.jpg").read_bytes())
    codes = source_codes(folder)
    assert codes.keys() == {"bad-annotation", "unreadable", "flat-box", "few-objects", "duplicates-across-splits"}
    assert "p00.xml: object 1 ('bar')" in codes["bad-annotation"]


def test_an_unknown_mask_is_a_warning(tmp_path: Path) -> None:
    folder = dense.masked(tmp_path / "masks")
    Image.fromarray(np.full((30, 40), 255, np.uint8)).save(folder / "masks/train/000.png")
    assert "unknown-mask" in source_codes(folder)


def test_a_stored_dataset_is_verified(tmp_path: Path) -> None:
    store = dense.added(dense.masked(tmp_path / "masks"), tmp_path / "data")
    assert store_codes(store) == {}
    data = bytearray(store.truth_file("test").read_bytes())
    data[1030] ^= 3
    store.truth_file("test").write_bytes(data)
    assert "rows 0 to 1 changed" in store_codes(store)["damaged"]


def test_a_class_without_training_objects_is_an_error(tmp_path: Path) -> None:
    folder = dense.masked(tmp_path / "masks", names="ground\nbar\ndisc\nrare\nvoid\n")
    for path in (folder / "masks/test").iterdir():
        mask = np.array(Image.open(path))
        mask[2:9, 2:9] = 3
        Image.fromarray(mask).save(path)
    assert store_codes(dense.added(folder, tmp_path / "data")) == {
        "empty-class": "classes without training objects: 1 (rare)"
    }


def test_a_class_that_no_split_has_is_a_warning(tmp_path: Path) -> None:
    """Roboflow writes a category of no object, with the id 0."""
    folder = dense.coco(tmp_path / "coco", 30)
    for path in (folder / "annotations").iterdir():
        body = json.loads(path.read_text())
        body["categories"].insert(0, {"id": 0, "name": "shapes", "supercategory": "none"})
        path.write_text(json.dumps(body))
    auditor = Auditor()
    list(check_dense_store(dense.added(folder, tmp_path / "data"), auditor))
    (finding,) = [item for item in auditor.findings if "class" in item.code]
    assert (finding.severity, finding.code, finding.names) == ("warning", "unused-class", ("shapes",))


def test_objects_and_images_without_any_are_counted_by_split(tmp_path: Path) -> None:
    counts, empty = count_objects(dense.added(dense.voc(tmp_path / "voc"), tmp_path / "data"))
    assert sum(counts["bar"].values()) + sum(counts["disc"].values()) == 18
    assert empty == {"train": 2, "val": 0, "test": 1}


def test_problems_of_the_annotations_and_of_the_pictures_name_every_file(tmp_path: Path) -> None:
    folder = dense.masked(tmp_path / "masks")
    (folder / "masks/train/000.png").unlink()
    Image.fromarray(np.full((30, 40), 77, np.uint8)).save(folder / "masks/train/001.png")
    (folder / "images/train/002.png").write_bytes(b"x")
    codes = source_codes(folder)
    assert codes.keys() == {"bad-annotation", "unreadable"}
    auditor = Auditor()
    with open_any(folder) as source:
        assert isinstance(source, Dense)
        list(check_dense_source(source, auditor))
    text = " ".join(item.message for item in auditor.findings)
    for name in ("images/train/000.png: its mask is missing", "masks/train/001.png", "images/train/002.png"):
        assert name in text


@pytest.mark.parametrize(("count", "few"), [(19, True), (20, False)])
def test_a_class_is_rare_below_twenty_objects(tmp_path: Path, count: int, few: bool) -> None:
    folder = dense.voc(tmp_path / "voc")
    boxes = [(0, 0, 3 + number, 9, "rare") for number in range(count)]
    (folder / "Annotations/p00.xml").write_text(dense.xml("p00.jpg", boxes))
    assert (f"rare: {count}" in source_codes(folder)["few-objects"]) == few
    store = dense.added(folder, tmp_path / "data")
    assert (f"rare: {count}" in store_codes(store)["few-objects"]) == few
    assert count_objects(store)[0]["rare"] == {"train": count, "val": 0, "test": 0}


def test_changed_images_and_missing_truth_are_damage_and_the_other_splits_are_judged(tmp_path: Path) -> None:
    store = dense.added(dense.voc(tmp_path / "voc"), tmp_path / "data")
    store.truth_file("val").unlink()
    data = bytearray(store.file("test").read_bytes())
    data[-100] ^= 1
    store.file("test").write_bytes(data)
    codes = store_codes(store)
    assert "val" in codes["damaged"]
    assert "test" in codes["damaged"]
    assert "few-objects" in codes, "train is counted"
    auditor = Auditor()
    *_, done = check_dense_store(store, auditor)
    assert done >= 8


def test_pixels_are_counted_by_class_and_split(tmp_path: Path) -> None:
    store = dense.added(dense.masked(tmp_path / "masks"), tmp_path / "data")
    counts, empty = count_objects(store)
    drawn = list(dense.scenes(12))
    for label, name in enumerate(("ground", "bar", "disc")):
        expected = sum(int((mask[:-1] == label).sum()) for _, mask, _ in drawn[:8])
        assert counts[name]["train"] == expected
    assert empty == {"train": 0, "val": 0, "test": 0}


def test_long_checks_tell_how_far_they_are(tmp_path: Path) -> None:
    folder = dense.voc(tmp_path / "voc", 104)
    with open_any(folder) as source:
        assert isinstance(source, Dense)
        assert [*check_dense_source(source, Auditor())] == [50, 100, 104]
    assert [*check_dense_store(dense.added(folder, tmp_path / "data"), Auditor())] == [50, 100, 104]
