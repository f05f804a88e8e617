"""Boxes and masks in the store: they read back equal, and a changed byte is an error that says where."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import dense

from resnetctl.data.store import Store, open_store
from resnetctl.errors import DataError
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
