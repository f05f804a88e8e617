"""Boxes and masks in the store: they read back equal, and a changed byte is an error that says where."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import dense

from resnetctl.data.dense.stored import TRUTH, SceneTruth, TruthFiles, read_truth, truth_name
from resnetctl.data.digests import rows_per_digest
from resnetctl.data.store import Store, open_store
from resnetctl.errors import DataError, WorkFailed
from resnetctl.spec import Boxes, Masks


@pytest.fixture
def boxes(tmp_path: Path) -> Store:
    return dense.added(dense.voc(tmp_path / "voc"), tmp_path / "data")


@pytest.fixture
def masks(tmp_path: Path) -> Store:
    return dense.added(dense.masked(tmp_path / "masks"), tmp_path / "data")


def spoil(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_boxes_become_a_batch_of_any_rows(boxes: Store) -> None:
    truth = boxes.split("train").truth
    assert truth is not None
    whole = truth.tensors()
    assert isinstance(whole, Boxes)
    taken = whole.take(torch.tensor([2, 3, 2]))
    assert taken.counts.tolist() == [2, 0, 2]
    assert truth.counts(np.arange(8), 2).tolist() == np.bincount(truth.labels).tolist()
    assert truth.counts(np.array([3, 7]), 2).tolist() == [0, 0]
    assert truth.empty(np.arange(8)) == 2


def test_masks_become_a_batch_and_are_counted_by_class(masks: Store) -> None:
    truth = masks.split("train").truth
    assert truth is not None
    whole = truth.tensors()
    assert isinstance(whole, Masks)
    assert whole.masks.shape == (8, 40, 40)
    counts = truth.counts(np.arange(8), 3)
    assert counts.tolist() == [int((whole.masks == label).sum()) for label in range(3)]
    assert truth.empty(np.arange(8)) == 0


@pytest.mark.parametrize("place", [-1, -40, -200, 60])
def test_a_changed_byte_of_the_boxes_is_an_error(boxes: Store, place: int) -> None:
    spoil(boxes.truth_file("train"), place)
    with pytest.raises(DataError, match="the train split of dataset 'scenes' is damaged"):
        boxes.split("train")


def test_a_changed_mask_is_an_error_when_it_is_used(masks: Store) -> None:
    spoil(masks.truth_file("train"), 1024 + 5 * 1600 + 800)
    truth = masks.split("train").truth
    assert truth is not None
    with pytest.raises(DataError, match="rows 0 to 7 changed since they were stored"):
        truth.check(np.array([5]))


def test_the_boxes_of_another_dataset_are_refused(boxes: Store, tmp_path: Path) -> None:
    other = dense.added(dense.voc(tmp_path / "other", 16), tmp_path / "data", "other")
    boxes.truth_file("val").write_bytes(other.truth_file("test").read_bytes())
    with pytest.raises(DataError, match="not the file that belongs to these images"):
        boxes.split("val")


def test_a_missing_file_and_a_shorter_one_are_errors(boxes: Store) -> None:
    file = boxes.truth_file("train")
    file.write_bytes(file.read_bytes()[:-32])
    with pytest.raises(DataError, match="truncated"):
        boxes.split("train")
    file.unlink()
    with pytest.raises(DataError, match="damaged"):
        boxes.split("train")


def test_the_card_says_what_is_known_and_a_dataset_of_labels_has_no_such_file(boxes: Store) -> None:
    again = open_store(boxes.path.parent, "scenes")
    assert again.card == boxes.card
    assert again.card.truth == "boxes"
    names: Any = sorted(path.name for path in boxes.path.glob("*.truth.*"))
    assert names == ["test.truth.safetensors", "train.truth.safetensors", "val.truth.safetensors"]


def written(folder: Path, *rows: SceneTruth, kind: Any = "boxes", side: int = 10) -> str:
    """Write the truth of train as `data add` does; return its SHA-256."""
    files = TruthFiles(folder, kind, side)
    for row in rows:
        files.append("train", row)
    return files.finish()["train"][TRUTH]


def scene(*corners: list[float], labels: list[int] | None = None) -> SceneTruth:
    boxes = np.array(corners, np.float32).reshape(-1, 4)
    return SceneTruth(size=(20, 10), boxes=boxes, labels=np.array(labels or [0] * len(boxes), np.int64))


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    rows = scene([0, 0, 10, 10], [1, 2, 3.5, 4], labels=[1, 0]), scene(), scene([5, 5, 6, 6])
    digest = written(tmp_path, *rows)
    truth = read_truth(tmp_path / truth_name("train"), "boxes", count=3, side=10, classes=2, sha256=digest)
    assert truth.offsets.tolist() == [0, 2, 2, 3]
    assert truth.boxes.tolist() == [[0, 0, 10, 10], [1, 2, 3.5, 4], [5, 5, 6, 6]]
    assert (truth.labels.tolist(), truth.sizes.tolist()) == ([1, 0, 0], [[20, 10]] * 3)
    truth.check(np.arange(3))


def test_a_split_without_a_single_box_reads_back(tmp_path: Path) -> None:
    digest = written(tmp_path, scene(), scene())
    truth = read_truth(tmp_path / truth_name("train"), "boxes", count=2, side=10, classes=2, sha256=digest)
    assert truth.counts(np.arange(2), 2).tolist() == [0, 0]
    assert truth.empty(np.arange(2)) == 2
    assert len(truth.tensors()) == 2


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (scene([0, 0, 5, 5], labels=[2]), r"outside 0\.\.1"),
        (scene([0, 0, 5, 5], labels=[-1]), r"outside 0\.\.1"),
        (scene([0, 0, 5, 11]), "lies outside its image"),
        (scene([-1, 0, 5, 5]), "lies outside its image"),
        (scene([3, 0, 3, 5]), "has no area"),
        (scene([5, 0, 3, 5]), "has no area"),
        (scene([float("nan"), 0, 5, 5]), "lies outside its image"),
    ],
)
def test_truth_that_no_data_add_writes_is_refused_in_spite_of_good_digests(
    tmp_path: Path, row: SceneTruth, problem: str
) -> None:
    digest = written(tmp_path, row)
    with pytest.raises(ValueError, match=problem):
        read_truth(tmp_path / truth_name("train"), "boxes", count=1, side=10, classes=2, sha256=digest)


@pytest.mark.parametrize("change", [{"count": 2}, {"kind": "masks"}, {"sha256": "0" * 64}])
def test_truth_of_another_shape_kind_or_digest_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    asked = {"kind": "boxes", "count": 1, "side": 10, "classes": 2, "sha256": written(tmp_path, scene())} | change
    with pytest.raises(ValueError, match=r"the tensors of train\.truth|not the file that belongs"):
        read_truth(tmp_path / truth_name("train"), **asked)


def test_masks_of_several_segments_read_back_and_each_is_guarded(tmp_path: Path) -> None:
    masks = np.random.default_rng(0).integers(0, 3, (700, 64, 64), dtype=np.uint8)
    digest = written(tmp_path, *(SceneTruth(size=(64, 64), mask=mask) for mask in masks), kind="masks", side=64)
    asked: Any = {"count": 700, "side": 64, "classes": 3, "sha256": digest}
    path = tmp_path / truth_name("train")
    per_digest = rows_per_digest((64, 64))
    assert 1 < per_digest < 700
    truth = read_truth(path, "masks", **asked)
    assert truth.masks is not None
    assert np.array_equal(truth.masks, masks)
    truth.check(np.arange(700))
    spoil(path, 1024 + (per_digest + 1) * 64 * 64)
    damaged = read_truth(path, "masks", **asked)
    damaged.check(np.arange(per_digest))
    with pytest.raises(DataError, match=f"rows {per_digest} to"):
        damaged.check(np.array([per_digest]))


def test_files_that_are_not_finished_leave_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "scenes"
    folder.mkdir()

    def fail() -> None:
        with TruthFiles(folder, "boxes", 10) as files:
            files.append("train", scene([0, 0, 5, 5]))
            raise WorkFailed("the disk is full")

    with pytest.raises(WorkFailed):
        fail()
    assert [*folder.iterdir()] == []
