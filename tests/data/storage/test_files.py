"""Files lie in shards that an index finds; damage of either is one error, and a million rows open at once."""

import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from support.photos import SIDE, added, both, files
from support.pictures import write_tree, write_zip

from resnetctl.data.checks import Auditor, check_store
from resnetctl.data.ingest.images import ingest
from resnetctl.data.reading.sniff import open_source
from resnetctl.data.storage import files as module
from resnetctl.data.storage.files import Files, index_bytes, read_index
from resnetctl.data.storage.options import Options
from resnetctl.data.store import Store, build, open_store
from resnetctl.errors import DataError
from resnetctl.spec import DatasetCard, ImageSpec

MILLION = 1_281_167  # images of ImageNet's train split


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    both(folder)
    return folder


@pytest.fixture
def store(shop: Path, tmp_path: Path) -> Store:
    """A copy that a test may damage."""
    shutil.copytree(shop / "data" / "files", tmp_path / "data" / "files")
    return open_store(tmp_path / "data", "files")


def test_the_store_has_the_original_bytes_and_nothing_else(store: Store) -> None:
    tensors = safetensors.numpy.load_file(store.file("train"))
    shard = (store.path / "train-00000.bin").read_bytes()
    parts = [shard[first:end] for first, end in zip(tensors["offsets"][:-1], tensors["offsets"][1:], strict=True)]
    assert sorted(parts) == sorted(data for name, data in files().items() if name.startswith("train"))
    assert tensors["shards"].tolist() == [0, len(shard)]
    assert sorted(path.name for path in store.path.iterdir()) == [
        "card.json", "manifest.jsonl", "test-00000.bin", "test.safetensors", "train-00000.bin", "train.safetensors",
    ]  # fmt: skip


def test_a_file_lies_in_one_shard(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    monkeypatch.setattr(module, "SHARD_BYTES", 3000)
    split = added(shop / "photos", tmp_path / "data", "many", "jpeg")
    shards = sorted(split.path.glob("train-*.bin"))
    sizes = [path.stat().st_size for path in shards]
    assert len(shards) > 3
    assert [path.name for path in shards[:2]] == ["train-00000.bin", "train-00001.bin"]
    assert all(0 < size <= 3000 for size in sizes)
    assert b"".join(path.read_bytes() for path in shards) == (store.path / "train-00000.bin").read_bytes()
    assert np.array_equal(split.split("train").images[:], store.split("train").images[:])


def test_an_archive_gives_the_same_store_as_its_folder(tmp_path: Path, store: Store) -> None:
    archive = write_zip(tmp_path / "photos.zip", dict(sorted(files().items())))
    other = added(archive, tmp_path / "data", "archive", "jpeg")
    for name in ("train-00000.bin", "train.safetensors", "manifest.jsonl"):
        assert (other.path / name).read_bytes() == (store.path / name).read_bytes()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["train.safetensors", "train-00000.bin"])
@pytest.mark.parametrize("how", [cut, Path.unlink, flip])
def test_damage_is_one_error_and_a_finding(store: Store, name: str, how: object) -> None:
    how(store.path / name)  # type: ignore[operator]
    with pytest.raises(DataError, match="of dataset 'files' is damaged") as caught:
        store.split("train").images[:]
    assert caught.value.exit_code == 3
    assert caught.value.where == str(store.file("train"))
    auditor = Auditor()
    list(check_store(store, auditor))
    assert [finding.code for finding in auditor.findings] == ["damaged"]


def test_a_shard_that_is_cut_while_it_is_in_use_is_an_error(store: Store) -> None:
    images = store.split("train").images
    images[:]
    (store.path / "train-00000.bin").write_bytes(b"")  # the same file, shorter
    with pytest.raises(DataError, match=r"train-00000.bin was cut while it was in use"):
        images[0]


@pytest.mark.parametrize("column", ["offsets", "shards", "labels"])
def test_an_index_that_contradicts_itself_is_refused(store: Store, column: str) -> None:
    table = read_index(store.file("train"))
    columns = {name: values.copy() for name, values in table.columns.items()}
    columns[column][1] = 99_999_999
    store.file("train").write_bytes(index_bytes(list(columns.values()), table.digests.tobytes(), about={}))
    with pytest.raises(DataError, match=r"not ascending|a label is outside|bytes instead of"):
        store.split("train")


def test_a_store_of_files_needs_files(tmp_path: Path) -> None:
    image = ImageSpec(size=SIDE, mean=(0.5,) * 3, std=(0.5,) * 3)
    draft = DatasetCard(name="x", classes=("a",), image=image, splits={}, storage="jpeg")
    with pytest.raises(AssertionError, match="an array has none"), build(tmp_path / "data", "x", draft=draft) as new:
        new.add_array("train", np.zeros((SIDE, SIDE, 3), np.uint8), label="a", name="1")
    assert list((tmp_path / "data").iterdir()) == []


def test_a_replaced_store_may_have_the_other_form(shop: Path, tmp_path: Path, store: Store) -> None:
    before = store.split("train").images[:]
    options = Options(size=SIDE, storage="raw", replace=True)
    list(ingest(tmp_path / "data", "files", source=open_source(shop / "photos"), options=options))
    again = open_store(tmp_path / "data", "files")
    assert not list(again.path.glob("*.bin"))
    assert np.array_equal(again.split("train").images, before)


def test_a_bad_file_leaves_nothing(tmp_path: Path) -> None:
    source = write_tree(tmp_path / "photos", {**files(), "train/dog/bad.jpg": b"\xff\xd8\xff"})
    with pytest.raises(DataError, match="1 of 21 images cannot be read"):
        added(source, tmp_path / "data", "x", "jpeg")
    assert list((tmp_path / "data").iterdir()) == []


def test_a_million_rows_open_within_400_megabytes(tmp_path: Path) -> None:
    """Every file has one byte, so that the shards are small: the index is as large as that of ImageNet."""
    index = tmp_path / "big" / "train.safetensors"
    index.parent.mkdir()
    offsets, rows = np.arange(MILLION + 1), np.arange(MILLION)
    starts = np.append(np.arange(0, MILLION, 2**14), MILLION)
    for number, size in enumerate(np.diff(starts).tolist()):
        with module.shard_path(index, number).open("wb") as shard:
            shard.truncate(size)
    columns = [offsets, starts, rows, rows % 1000, rows]
    index.write_bytes(index_bytes(columns, bytes(32 * MILLION), about={}))
    del columns, offsets, rows
    tracemalloc.start()
    opened = Files(index, read_index(index))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(opened) == MILLION
    assert peak < 400e6
    with pytest.raises(DataError, match=f"row {MILLION - 1} of the train split of dataset 'big' is damaged"):
        opened.read(MILLION - 1)
