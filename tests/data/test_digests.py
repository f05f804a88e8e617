"""Damage in a store is detected when an image is first read, and the error names the rows."""

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from resnetctl.data import digests as module
from resnetctl.data.digests import Guard, rows_per_digest, segment_digests
from resnetctl.data.loader import Feed
from resnetctl.data.splits import eval_batches, open_sets
from resnetctl.data.store import Store, build, open_store
from resnetctl.errors import DataError
from resnetctl.hints import Call
from resnetctl.spec import DatasetCard, ImageSpec

IMAGE = ImageSpec(size=32, channels=3)


def store_of(folder: Path, count: int = 60) -> Store:
    draft = DatasetCard(name="x", classes=("a", "b"), image=IMAGE, splits={})
    images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    with build(folder, "x", draft=draft) as builder:
        for row, image in enumerate(images):
            builder.add("train", image, label="ab"[row % 2], name=str(row), sha256="")
    return open_store(folder, "x")


def flip(store: Store, row: int) -> None:
    """Flip one bit of one pixel of an image."""
    data = bytearray(store.file("train").read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    data[8 + length + row * 32 * 32 * 3 + 100] ^= 1
    store.file("train").write_bytes(data)


def read_all(store: Store) -> None:
    """Map train and verify every image of it."""
    store.split("train").guard.check(np.arange(60))


@pytest.mark.parametrize(
    ("shape", "rows"), [((32, 32, 3), 21), ((8, 8, 1), 1024), ((256, 256, 3), 1), ((1, 1, 1), 65536)]
)
def test_a_segment_is_whole_images_of_64_kib(shape: tuple[int, ...], rows: int) -> None:
    assert rows_per_digest(shape) == rows


def test_a_split_file_has_a_digest_per_segment_and_one_for_the_labels(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    tensors = safetensors.numpy.load_file(store.file("train"))
    assert tensors["digests"].shape == (3 + 1, 32)
    assert [row.tobytes() for row in tensors["digests"][:-1]] == segment_digests(tensors["images"], 21)


def test_each_segment_is_verified_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guard = store_of(tmp_path).split("train").guard
    calls: list[int] = []
    monkeypatch.setattr(
        module, "segment_digests", lambda images, rows: calls.append(len(images)) or segment_digests(images, rows)
    )
    guard.check(np.array([0, 20, 59]))
    assert calls == [21, 18]
    guard.check(np.array([1, 2, 58]))
    guard.check(np.arange(60))
    assert calls == [21, 18, 21]
    guard.check(np.arange(60))
    assert len(calls) == 3


def test_training_finds_damage_when_it_first_reads_it(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    flip(store, 30)
    train, _, _ = open_sets(store, val_fraction=0, seed=0)
    feed = Feed(train, IMAGE, torch.device("cpu"))
    assert len(feed.batch(torch.tensor([0, 20, 45]), epoch=0, step=0).images) == 3
    with pytest.raises(DataError, match="rows 21 to 41 changed since they were stored") as caught:
        feed.batch(torch.tensor([0, 22]), epoch=0, step=1)
    assert caught.value.hint[0] == Call("data check", ("x",))


def test_evaluation_finds_damage_too(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    flip(store, 59)
    train, _, _ = open_sets(store, val_fraction=0, seed=0)
    with pytest.raises(DataError, match="rows 42 to 59"):
        list(eval_batches(train, IMAGE, batch_size=16))


@pytest.mark.parametrize("tensor", ["labels", "digests"])
def test_changed_labels_and_digests_are_found_on_load(tmp_path: Path, tensor: str) -> None:
    store = store_of(tmp_path)
    data = bytearray(store.file("train").read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    start, _ = json.loads(data[8 : 8 + length])[tensor]["data_offsets"]
    data[8 + length + start] ^= 1  # turns label 0 into label 1, which is valid too
    store.file("train").write_bytes(data)
    with pytest.raises(DataError, match="damaged"):
        read_all(store)


def test_a_file_without_digests_is_damaged(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    tensors = safetensors.numpy.load_file(store.file("train"))
    del tensors["digests"]
    safetensors.numpy.save_file(tensors, store.file("train"), metadata={"rows_per_digest": "21"})
    with pytest.raises(DataError, match="not images of"):
        store.split("train")


def test_a_guard_reports_a_short_last_segment() -> None:
    images = np.zeros((5, 1, 1, 1), np.uint8)
    guard = Guard(images, np.zeros((3, 32), np.uint8), rows=2, path=Path("d/train.safetensors"))
    with pytest.raises(DataError, match="dataset 'd' is damaged: rows 4 to 4"):
        guard.check(np.array([4]))


def test_a_file_cut_while_it_is_mapped_is_an_error_not_a_signal(tmp_path: Path) -> None:
    """Reading a mapping past the file's end kills the process with SIGBUS."""
    store = store_of(tmp_path)
    train, _, _ = open_sets(store, val_fraction=0, seed=0)
    train.check(np.arange(60))
    os.truncate(store.file("train"), 5000)
    with pytest.raises(DataError, match=r"was cut from [0-9,]+ to 5,000 bytes while it was in use") as caught:
        train.check(np.arange(60))
    assert caught.value.where == str(store.file("train"))


def test_a_replaced_or_removed_file_leaves_the_mapping_as_it_was(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    train, _, _ = open_sets(store, val_fraction=0, seed=0)
    store.file("train").unlink()
    train.check(np.arange(60))
    store.file("train").write_bytes(b"shorter")
    train.check(np.arange(60))
