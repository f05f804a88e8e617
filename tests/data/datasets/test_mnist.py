import dataclasses
import gzip
import hashlib
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnetctl import registry
from resnetctl.data.datasets.mnist import STEMS, Mnist, fashion_mnist, mnist, read_idx
from resnetctl.errors import DataError
from resnetctl.hints import in_shell
from resnetctl.system.download import Remote

COUNTS = {"train": 12, "test": 5}


def idx(array: np.ndarray[Any, Any], kind: int = 8) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape) + array.tobytes()


def images(split: str) -> np.ndarray[Any, Any]:
    count = COUNTS[split]
    return (np.arange(count * 784) % 251).astype(np.uint8).reshape(count, 28, 28)


def labels(split: str) -> np.ndarray[Any, Any]:
    return (np.arange(COUNTS[split]) % 10).astype(np.uint8)


@pytest.fixture
def plugin() -> Mnist:
    return dataclasses.replace(mnist, card=dataclasses.replace(mnist.card, splits=COUNTS), remotes=())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The four files, unpacked."""
    path = tmp_path / "mine"
    path.mkdir()
    for split, (image_stem, label_stem) in STEMS.items():
        (path / image_stem).write_bytes(idx(images(split)))
        (path / label_stem).write_bytes(idx(labels(split)))
    return path


def pack(folder: Path) -> None:
    for path in list(folder.iterdir()):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()


def dot(folder: Path) -> None:
    for path in list(folder.iterdir()):
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))


def as_torchvision(folder: Path) -> None:
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in [path for path in folder.iterdir() if path.is_file()]:
        path.rename(raw / path.name)


@pytest.mark.parametrize("dress", [lambda folder: None, pack, dot, as_torchvision])
def test_read_accepts_every_layout_of_the_folder(plugin: Mnist, folder: Path, dress: Any) -> None:
    dress(folder)
    path = plugin.fetch(folder / "cache", folder)
    for split in ("train", "test"):
        arrays, names = zip(*plugin.read(path, split), strict=True)
        np.testing.assert_array_equal(np.stack(arrays)[..., 0], images(split))
        assert arrays[0].shape == (28, 28, 1)
        assert list(names) == [str(label) for label in labels(split)]
    assert list(plugin.read(path, "val")) == []


def test_a_missing_file_is_named(plugin: Mnist, folder: Path) -> None:
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(
        DataError, match=r"'t10k-labels-idx1-ubyte' and 't10k-labels-idx1-ubyte\.gz' are missing"
    ) as raised:
        plugin.fetch(folder, folder)
    assert in_shell(raised.value.hint[0]).startswith("resnetctl data get mnist --from FOLDER")


def test_a_missing_folder_is_an_error(plugin: Mnist, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        plugin.fetch(tmp_path, tmp_path / "gone")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (idx(images("train")[:-1]), "idx header is"),
        (idx(images("train"), kind=13), "idx header is"),
        (idx(images("train").reshape(12, 784)), "idx header is"),
        (idx(images("train"))[:-1], "truncated: 9,407 of 9,408 bytes"),
        (idx(images("train")) + b"x", "more than 9,424 bytes"),
        (b"", "idx header is"),
        (b"<html>not arrays</html>", "idx header is"),
    ],
)
def test_the_structure_of_images_is_checked(plugin: Mnist, folder: Path, data: bytes, message: str) -> None:
    (folder / STEMS["train"][0]).write_bytes(data)
    with pytest.raises(DataError, match=message) as raised:
        list(plugin.read(folder, "train"))
    assert str(raised.value.where).endswith("train-images-idx3-ubyte")


def test_labels_are_checked(plugin: Mnist, folder: Path) -> None:
    wrong = labels("train")
    wrong[-1] = 10
    (folder / STEMS["train"][1]).write_bytes(idx(wrong))
    with pytest.raises(DataError, match="label 10 is not below 10"):
        list(plugin.read(folder, "train"))


def test_a_truncated_gz_is_an_error(plugin: Mnist, folder: Path) -> None:
    pack(folder)
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="damaged"):
        list(plugin.read(folder, "train"))


def test_a_bomb_is_not_unpacked(plugin: Mnist, folder: Path) -> None:
    pack(folder)
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(bytes(50_000_000)))
    with pytest.raises(DataError, match="more than 9,424 bytes"):
        list(plugin.read(folder, "train"))


@pytest.mark.parametrize("shape", [(0,), (3,), (2, 3), (2, 3, 4)])
def test_read_idx_reads_any_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = np.arange(math.prod(shape), dtype=np.uint8).reshape(shape)
    (tmp_path / "x").write_bytes(idx(array))
    np.testing.assert_array_equal(read_idx(tmp_path / "x", shape), array)


def test_downloads_are_verified_and_have_their_own_folder(plugin: Mnist, folder: Path, tmp_path: Path) -> None:
    pack(folder)
    cache = tmp_path / "cache" / "mnist"
    folder_bytes = {path.name: path.read_bytes() for path in folder.iterdir()}
    remotes = tuple(
        Remote(name=name, urls=(), digest="md5:" + hashlib.md5(data).hexdigest()) for name, data in folder_bytes.items()
    )
    plugin = dataclasses.replace(plugin, remotes=remotes)
    cache.parent.mkdir()
    folder.rename(cache)
    assert plugin.fetch(tmp_path / "cache") == cache
    (cache / remotes[0].name).write_bytes(b"rotten")
    with pytest.raises(DataError, match="could not be downloaded") as raised:
        plugin.fetch(tmp_path / "cache")
    assert in_shell(raised.value.hint[0]).startswith("resnetctl data get mnist --from FOLDER")
    assert "--data digits" in in_shell(raised.value.hint[1])


@pytest.mark.parametrize("dataset", [mnist, fashion_mnist])
def test_cards_have_the_published_counts_and_digests(dataset: Mnist) -> None:
    card = dataset.card
    assert registry.get("dataset", card.name) is dataset
    assert card.splits == {"train": 60_000, "test": 10_000}
    assert len(card.classes) == 10
    assert (card.image.size, card.image.channels) == (28, 1)
    assert [remote.name for remote in dataset.remotes] == [f"{stem}.gz" for pair in STEMS.values() for stem in pair]
    assert all(len(remote.digest) == 36 and len(remote.urls) >= 2 for remote in dataset.remotes)
    assert card.digests == {remote.name: remote.digest for remote in dataset.remotes}


def test_digits_are_shifted_and_clothes_are_mirrored() -> None:
    assert mnist.card.defaults == {"augment": "shift", "epochs": 10, "mirror": False}
    assert fashion_mnist.card.defaults == {"augment": "standard", "epochs": 30, "mirror": True}
    assert fashion_mnist.card.classes[9] == "Ankle boot"
