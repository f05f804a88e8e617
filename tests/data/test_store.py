"""The store is written as a stream, mapped for reading, measured exactly, and verified on load."""

import hashlib
import json
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from resnetctl.data.store import Store, build, open_store
from resnetctl.errors import DataError, UsageError
from resnetctl.hints import Call
from resnetctl.spec import DatasetCard, ImageSpec


def draft(*, size: int = 4, channels: int = 3, classes: tuple[str, ...] = ("a", "b")) -> DatasetCard:
    image = ImageSpec(size=size, channels=channels, mean=(0.5,) * channels, std=(0.5,) * channels)
    return DatasetCard(name="draft", classes=classes, image=image, splits={}, licence="CC0", notes=("first",))


def noise(count: int, *, size: int = 4, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, size, size, channels), dtype=np.uint8)


def write(data_dir: Path, name: str = "x", **splits: np.ndarray) -> Store:
    first = next(iter(splits.values()))
    with build(data_dir, name, draft=draft(size=first.shape[1], channels=first.shape[3])) as builder:
        for split, images in splits.items():
            for row, image in enumerate(images):
                builder.add(split, image, label="ab"[row % 2], name=f"{split}/{row}.png", sha256=f"{row:064x}")
    return open_store(data_dir, name)


@pytest.mark.parametrize(("size", "channels"), [(4, 3), (5, 1), (3, 3), (1, 1), (7, 5)])
def test_stored_images_and_labels_read_back_equal(tmp_path: Path, size: int, channels: int) -> None:
    train, test = noise(9, size=size, channels=channels), noise(5, size=size, channels=channels)
    store = write(tmp_path, train=train, test=test)
    assert store.splits == ("train", "test")
    stored = store.split("train")
    assert (stored.images == train).all()
    assert stored.labels.tolist() == [0, 1] * 4 + [0]
    assert stored.labels.dtype == np.int64
    assert (store.split("test").images == test).all()


def test_the_safetensors_library_can_read_a_split(tmp_path: Path) -> None:
    images = noise(7, size=5)
    store = write(tmp_path, train=images)  # 5 * 5 * 3 * 7 is odd: the labels are not aligned
    tensors = safetensors.numpy.load_file(store.file("train"))
    assert (tensors["images"] == images).all()
    assert tensors["labels"].tolist() == [0, 1, 0, 1, 0, 1, 0]


def test_the_card_measures_the_train_split(tmp_path: Path) -> None:
    train = noise(50)
    card = write(tmp_path, train=train, val=noise(3), test=np.zeros((2, 4, 4, 3), np.uint8)).card
    scaled = train / 255
    assert card.image.mean == pytest.approx(scaled.mean(axis=(0, 1, 2)), abs=5e-7)
    assert card.image.std == pytest.approx(scaled.std(axis=(0, 1, 2)), abs=5e-7)
    assert all(round(value, 6) == value for value in (*card.image.mean, *card.image.std))
    assert dict(card.splits) == {"train": 50, "val": 3, "test": 2}
    assert (card.name, card.licence, card.notes[0]) == ("x", "CC0", "first")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 255), min_size=1, max_size=60))
def test_mean_and_std_are_exact(tmp_path_factory: pytest.TempPathFactory, values: list[int]) -> None:
    images = np.array(values, np.uint8).reshape(-1, 1, 1, 1)
    image = write(tmp_path_factory.mktemp("store"), train=images).card.image
    assert image.mean[0] == pytest.approx(np.mean(values) / 255, abs=6e-7)
    assert image.std[0] == pytest.approx(max(np.std(values), 1) / 255, abs=6e-7)


def test_groups_are_stored_only_where_images_must_stay_together(tmp_path: Path) -> None:
    images = noise(6)
    images[4] = images[1]
    store = write(tmp_path, train=images, test=noise(3))
    groups = store.split("train").groups
    assert groups is not None
    assert groups.tolist() == [0, 1, 2, 3, 1, 5]
    assert store.split("test").groups is None
    assert "groups" in safetensors.numpy.load_file(store.file("train"))
    assert "groups" not in safetensors.numpy.load_file(store.file("test"))
    assert store.card.notes == ("first", "1 pair of identical images, each pair in one split; 1 pair in two classes")


def test_changed_groups_are_damage(tmp_path: Path) -> None:
    images = noise(6)
    images[4] = images[1]
    store = write(tmp_path, train=images)
    data = bytearray(store.file("train").read_bytes())
    place = data.index(np.array([0, 1, 2, 3, 1, 5], "<i8").tobytes())
    data[place + 8 * 5] = 0
    store.file("train").write_bytes(data)
    with pytest.raises(DataError, match="changed since they were stored"):
        store.split("train")


def test_digests_are_those_of_the_files(tmp_path: Path) -> None:
    store = write(tmp_path, train=noise(3), test=noise(2))
    for split in ("train", "test"):
        assert store.card.digests[split] == hashlib.sha256(store.file(split).read_bytes()).hexdigest()


def test_the_same_images_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write(tmp_path / place, train=noise(9), test=noise(4)) for place in "12")
    for name in ("card.json", "manifest.jsonl", "train.safetensors", "test.safetensors"):
        assert (first.path / name).read_bytes() == (second.path / name).read_bytes()


def test_the_manifest_names_every_image(tmp_path: Path) -> None:
    store = write(tmp_path, train=noise(2), test=noise(1))
    lines = [json.loads(line) for line in (store.path / "manifest.jsonl").read_text().splitlines()]
    assert lines[1] == {"split": "train", "row": 1, "name": "train/1.png", "sha256": f"{1:064x}"}
    assert [(line["split"], line["row"]) for line in lines] == [("train", 0), ("train", 1), ("test", 0)]


def test_splits_may_be_added_in_any_order(tmp_path: Path) -> None:
    images = noise(6)
    with build(tmp_path, "x", draft=draft()) as builder:
        for row, image in enumerate(images):
            builder.add_array(("train", "test")[row % 2], image, label="a", name=str(row))
        assert builder.counts == {"train": 3, "test": 3}
    store = open_store(tmp_path, "x")
    assert (store.split("train").images == images[::2]).all()
    assert (store.split("test").images == images[1::2]).all()
    line = json.loads((store.path / "manifest.jsonl").read_text().splitlines()[0])
    assert line["sha256"] == hashlib.sha256(images[0].tobytes()).hexdigest()


def test_writing_to_mapped_images_never_reaches_the_file(tmp_path: Path) -> None:
    store = write(tmp_path, train=noise(3))
    before = store.file("train").read_bytes()
    images = store.split("train").images
    images[:] = 0
    assert isinstance(images.base, np.memmap)
    images.base.flush()
    assert store.file("train").read_bytes() == before
    assert store.split("train").images.any()


def test_memory_stays_flat(tmp_path: Path) -> None:
    """Seven times as many images need no more memory: 33 MiB are written with far less in memory."""
    image = np.zeros((64, 64, 3), np.uint8)
    peaks = []
    for count in (400, 2800):
        tracemalloc.start()
        with build(tmp_path, f"n{count}", draft=draft(size=64)) as builder:
            for row in range(count):
                builder.add("train", image.copy(), label="a", name=str(row), sha256="")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2**20
    assert peaks[1] < 8 * 2**20


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with pytest.raises(KeyError), build(store, "x", draft=draft()) as builder:
        builder.add("train", noise(1)[0], label={}["a"], name="1", sha256="")
    assert list(store.iterdir()) == []


def test_a_dataset_needs_training_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no training image"), build(tmp_path / "store", "x", draft=draft()) as builder:
        builder.add("test", noise(1)[0], label="a", name="1", sha256="")
    assert list((tmp_path / "store").iterdir()) == []


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4, 1), np.uint8), np.zeros((4, 5, 3), np.uint8), np.zeros((4, 4, 3), np.float32)]
)
def test_an_image_must_have_the_shape(tmp_path: Path, image: np.ndarray) -> None:
    with pytest.raises(DataError, match="uint8") as caught, build(tmp_path, "x", draft=draft()) as builder:
        builder.add("train", image, label="a", name="odd.png", sha256="")
    assert caught.value.where == "odd.png"


def test_a_class_must_be_known(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="class 'c'"), build(tmp_path, "x", draft=draft()) as builder:
        builder.add("train", noise(1)[0], label="c", name="1", sha256="")


def test_a_taken_name_is_refused_unless_replaced(tmp_path: Path) -> None:
    data_dir = tmp_path / "store"
    write(data_dir, train=noise(2))
    with pytest.raises(UsageError, match="already in the store"), build(data_dir, "x", draft=draft()):
        pass
    with build(data_dir, "x", draft=draft(), replace=True) as builder:
        builder.add("train", noise(1)[0], label="a", name="1", sha256="")
    assert open_store(data_dir, "x").card.splits["train"] == 1
    assert os.listdir(data_dir) == ["x"]


def test_a_failed_replace_keeps_the_old_dataset(tmp_path: Path) -> None:
    write(tmp_path, train=noise(2))
    with pytest.raises(DataError), build(tmp_path, "x", draft=draft(), replace=True):
        pass
    assert open_store(tmp_path, "x").card.splits["train"] == 2


def test_the_error_for_a_missing_split_names_it(tmp_path: Path) -> None:
    store = write(tmp_path, train=noise(2))
    with pytest.raises(DataError, match="has no test split") as caught:
        store.split("test")
    assert caught.value.hint == (Call("data show", ("x",)),)


def test_open_store_of_a_missing_dataset_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        open_store(tmp_path, "x")
    assert caught.value.exit_code == 3


def spoiled(data: bytes, how: str) -> bytes:
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    if how == "label":
        start, _ = header["labels"]["data_offsets"]
        return data[: 8 + length + start] + struct.pack("<q", 2) + data[8 + length + start + 8 :]
    if how == "shape":
        header["images"]["shape"][1] += 1
    if how == "count":
        header["labels"]["shape"] = [1]
    text = json.dumps(header).encode().ljust(length)
    return {
        "cut": data[:-1],
        "empty": b"",
        "longer": data + b"\0",
        "length": struct.pack("<Q", 2**40) + data[8:],
        "text": data[:8] + b"?" * length + data[8 + length :],
        "no labels": data[:8] + b'{"images": {"shape": [2]}}'.ljust(length) + data[8 + length :],
    }.get(how, data[:8] + text + data[8 + length :])


@pytest.mark.parametrize("how", ["cut", "empty", "longer", "length", "text", "no labels", "label", "shape", "count"])
def test_a_damaged_file_is_one_error(tmp_path: Path, how: str) -> None:
    store = write(tmp_path, train=noise(2))
    path = store.file("train")
    path.write_bytes(spoiled(path.read_bytes(), how))
    with pytest.raises(DataError, match="train split of dataset 'x' is damaged") as caught:
        store.split("train")
    assert caught.value.where == str(path)


def test_a_missing_split_file_is_one_error(tmp_path: Path) -> None:
    store = write(tmp_path, train=noise(2))
    store.file("train").unlink()
    with pytest.raises(DataError, match="damaged"):
        store.split("train")
