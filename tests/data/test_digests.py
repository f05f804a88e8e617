"""Damage in a store is found when it is first read, and told with the rows."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from resnetctl.data import digests as blocks
from resnetctl.data.digests import Guard, digests, rows_of_block
from resnetctl.data.loader import Feed
from resnetctl.data.splits import eval_batches, open_sets
from resnetctl.data.store import Store, build, open_store
from resnetctl.errors import DataError
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
    """One bit of one pixel of an image."""
    data = bytearray(store.file("train").read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    data[8 + length + row * 32 * 32 * 3 + 100] ^= 1
    store.file("train").write_bytes(data)


def read_all(store: Store) -> None:
    """Map train and prove every image of it."""
    split = store.split("train")
    assert split.guard is not None
    split.guard.check(np.arange(60))


@pytest.mark.parametrize(
    ("shape", "rows"), [((32, 32, 3), 21), ((8, 8, 1), 1024), ((256, 256, 3), 1), ((1, 1, 1), 65536)]
)
def test_a_block_is_whole_images_of_64_kib(shape: tuple[int, ...], rows: int) -> None:
    assert rows_of_block(shape) == rows


def test_the_file_holds_a_digest_for_every_block_and_one_for_the_labels(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    tensors = safetensors.numpy.load_file(store.file("train"))
    assert tensors["blocks"].shape == (3 + 1, 32)
    assert [row.tobytes() for row in tensors["blocks"][:-1]] == digests(tensors["images"], 21)


def test_digests_do_not_depend_on_how_images_were_gathered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from resnetctl.data import store

    whole = store_of(tmp_path / "a").file("train").read_bytes()
    monkeypatch.setattr(store, "_BLOCK", 1)
    assert store_of(tmp_path / "b").file("train").read_bytes() == whole


def test_each_block_is_proved_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guard = store_of(tmp_path).split("train").guard
    assert guard is not None
    calls: list[int] = []
    monkeypatch.setattr(blocks, "digests", lambda images, rows: calls.append(len(images)) or digests(images, rows))
    guard.check(np.array([0, 20, 59]))
    assert calls == [21, 18]
    guard.check(np.array([1, 2, 58]))
    guard.check(np.arange(60))
    assert calls == [21, 18, 21]
    guard.check(np.arange(60))
    assert len(calls) == 3


def test_training_meets_damage_when_it_first_reads_it(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    flip(store, 30)
    train, _, _ = open_sets(store, val_fraction=0, seed=0)
    feed = Feed(train, IMAGE, torch.device("cpu"))
    assert len(feed.batch(torch.tensor([0, 20, 45]), epoch=0, step=0).images) == 3
    with pytest.raises(DataError, match="rows 21 to 41 are not what was stored") as caught:
        feed.batch(torch.tensor([0, 22]), epoch=0, step=1)
    assert caught.value.hint[0] == "resnetctl data check x"


def test_evaluation_meets_it_too(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    flip(store, 59)
    train, _, _ = open_sets(store, val_fraction=0, seed=0)
    with pytest.raises(DataError, match="rows 42 to 59"):
        list(eval_batches(train, IMAGE, batch_size=16))


@pytest.mark.parametrize("what", ["labels", "blocks"])
def test_changed_labels_and_digests_are_found_on_load(tmp_path: Path, what: str) -> None:
    store = store_of(tmp_path)
    data = bytearray(store.file("train").read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    start, _ = json.loads(data[8 : 8 + length])[what]["data_offsets"]
    data[8 + length + start] ^= 1  # labels 0 and 1 swap, which is a label still
    store.file("train").write_bytes(data)
    with pytest.raises(DataError, match="damaged"):
        read_all(store)


def test_a_store_without_digests_is_still_read(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    tensors = safetensors.numpy.load_file(store.file("train"))
    del tensors["blocks"]
    tensors = {"labels": tensors["labels"], "images": tensors["images"]}
    header = {
        "images": {"dtype": "U8", "shape": [60, 32, 32, 3], "data_offsets": [0, 184320]},
        "labels": {"dtype": "I64", "shape": [60], "data_offsets": [184320, 184800]},
    }
    text = json.dumps(header).encode()
    body = tensors["images"].tobytes() + tensors["labels"].tobytes()
    store.file("train").write_bytes(struct.pack("<Q", len(text)) + text + body)
    split = store.split("train")
    assert split.guard is None
    assert len(split.images) == 60


def test_a_guard_reports_a_short_last_block() -> None:
    images = np.zeros((5, 1, 1, 1), np.uint8)
    guard = Guard(images, np.zeros((3, 32), np.uint8), rows=2, path=Path("d/train.safetensors"))
    with pytest.raises(DataError, match="dataset 'd' is damaged: rows 4 to 4"):
        guard.check(np.array([4]))
