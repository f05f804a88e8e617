"""A mixed order of stored images is the same each time, and moves no image into another split."""

import itertools
import json
from pathlib import Path

import pytest
from support.pictures import solid, write_tree, write_zip

from resnetctl.data.ingest.images import ingest
from resnetctl.data.reading.sniff import open_source
from resnetctl.data.storage.options import Options
from resnetctl.data.store import Store, open_store
from resnetctl.errors import UsageError

CLASSES = "abc"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty different images in three classes."""
    numbered = enumerate(itertools.product(CLASSES, range(10)))
    tree = {f"{name}/{row}.png": solid((8 * number, 0, 0)) for number, (name, row) in numbered}
    return write_tree(tmp_path_factory.mktemp("order") / "photos", tree)


def stored(source: Path, data_dir: Path, name: str, *, shuffle: bool) -> Store:
    options = Options(shuffle=shuffle, storage="jpeg")
    list(ingest(data_dir, name, source=open_source(source), options=options))
    return open_store(data_dir, name)


def names(store: Store, split: str) -> list[str]:
    """Return the files of a split by row, from the manifest."""
    entries = [json.loads(line) for line in (store.path / "manifest.jsonl").read_text().splitlines()]
    rows = sorted((entry["row"], entry["name"]) for entry in entries if entry["split"] == split)
    return [name for _, name in rows]


def test_a_mixed_order_has_the_same_images_in_each_split(photos: Path, tmp_path: Path) -> None:
    plain, mixed, again = (
        stored(photos, tmp_path, name, shuffle=name != "plain") for name in ("plain", "mixed", "again")
    )
    for split in ("train", "test"):
        assert sorted(names(mixed, split)) == sorted(names(plain, split))
        assert names(mixed, split) == names(again, split) != names(plain, split)
        images = {store.path.name: store.split(split) for store in (plain, mixed)}  # type: ignore[arg-type]
        by_name = dict(zip(names(plain, split), images["plain"].images[:], strict=True))
        for row, name in enumerate(names(mixed, split)):
            assert (images["mixed"].images[row] == by_name[name]).all()
            assert CLASSES[images["mixed"].labels[row]] == name[0]
    assert plain.split("train").labels.tolist() == sorted(plain.split("train").labels.tolist())
    assert len(set(mixed.split("train").labels[:8].tolist())) == 3


def test_an_archive_cannot_be_shuffled(photos: Path, tmp_path: Path) -> None:
    tree = {str(path.relative_to(photos)): path.read_bytes() for path in photos.rglob("*.png")}
    with pytest.raises(UsageError, match="in its own order only") as caught:
        stored(write_zip(tmp_path / "photos.zip", tree), tmp_path, "zip", shuffle=True)
    assert "unpack it, and add the folder" in caught.value.hint
