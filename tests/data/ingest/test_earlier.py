"""An image keeps its split when its dataset is replaced, whatever was added, removed or renamed."""

import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.pictures import encode, write_tree

from resnetctl.data.cards import MANIFEST
from resnetctl.data.ingest.earlier import NEW, TEST, TRAIN, Earlier
from resnetctl.data.ingest.images import ingest
from resnetctl.data.reading.sniff import open_source
from resnetctl.data.storage.options import Options
from resnetctl.data.store import Store, open_store

Photos = dict[str, bytes]


def photos(*numbers: int, classes: tuple[str, ...] = ("cat", "dog")) -> Photos:
    """Return a photo of each number in each class; no two are the same."""
    return {
        f"{label}/{number:03}.png": encode(Image.new("RGB", (4, 4), (number, 9, place)))
        for place, label in enumerate(classes)
        for number in numbers
    }


def added(folder: Path, files: Photos, *, name: str = "x", replace: bool = True) -> Store:
    with TemporaryDirectory() as source:
        root = write_tree(Path(source) / "p", files)
        list(ingest(folder, name, source=open_source(root), options=Options(replace=replace)))
    return open_store(folder, name)


def split_of(store: Store) -> dict[str, str]:
    """Return the split of each image by the digest of its file."""
    lines = [json.loads(line) for line in (store.path / MANIFEST).read_text().splitlines()]
    return {line["sha256"]: line["split"] for line in lines}


def shares(store: Store) -> dict[int, tuple[int, int]]:
    """Return the images of test, and all images, by class."""
    test = Counter(store.split("test").labels.tolist())
    train = Counter(store.split("train").labels.tolist())
    return {label: (test[label], test[label] + train[label]) for label in train}


def test_photos_that_are_added_leave_the_others_where_they_were(tmp_path: Path) -> None:
    first = split_of(added(tmp_path, photos(*range(0, 20, 2))))
    store = added(tmp_path, photos(*range(20)))
    assert first.items() <= split_of(store).items()
    assert shares(store) == {0: (4, 20), 1: (4, 20)}
    assert (
        "test: kept from the dataset that was replaced; 20 of 40 images are new, 4 of them in test" in store.card.notes
    )


def test_files_that_cannot_be_read_are_no_images(tmp_path: Path) -> None:
    files = photos(*range(10)) | {"cat/broken.png": b"no image"}
    root = write_tree(tmp_path / "p", files)
    for _ in range(2):
        options = Options(replace=True, on_bad_image="skip")
        list(ingest(tmp_path / "data", "x", source=open_source(root), options=options))
    notes = open_store(tmp_path / "data", "x").card.notes
    assert "test: kept from the dataset that was replaced; 0 of 20 images are new, 0 of them in test" in notes


def test_one_photo_at_a_time_fills_the_test_too(tmp_path: Path) -> None:
    store = added(tmp_path, photos(*range(5)))
    for number in range(6, 16):
        store = added(tmp_path, photos(*range(number)))
    assert shares(store) == {0: (3, 15), 1: (3, 15)}


def test_a_photo_that_was_saved_again_or_renamed_stays(tmp_path: Path) -> None:
    files = photos(*range(10))
    first = split_of(added(tmp_path, files))
    renamed = {name.replace(".png", "-b.png"): data for name, data in files.items()}
    assert split_of(added(tmp_path, renamed)) == first
    touched = {name: data + b"\0" for name, data in renamed.items()}
    store = added(tmp_path, touched)
    assert Counter(split_of(store).values()) == Counter(first.values())
    assert list(store.card.replaced.values()) == [False], "the bytes of the first are gone"
    names = _names(store)
    assert _names(added(tmp_path, renamed)) == names


def test_twins_of_a_train_image_follow_it(tmp_path: Path) -> None:
    files = photos(*range(10))
    first = split_of(added(tmp_path, files))
    copies = {name.replace(".png", ".bmp.png"): data for name, data in files.items()}
    again = split_of(added(tmp_path, files | copies))
    assert again == first, "the digests are the same, so are the splits"


def test_a_class_that_has_only_test_left_is_drawn_again(tmp_path: Path) -> None:
    files = photos(*range(10))
    first = split_of(added(tmp_path, files))
    kept = {name: data for name, data in files.items() if name.startswith("cat")}
    splits = _names(open_store(tmp_path, "x"))
    test_dogs = [name for name, split in splits.items() if split == "test" and name.startswith("dog")]
    store = added(tmp_path, kept | {name: files[name] for name in test_dogs})
    assert shares(store)[1] == (1, 2)
    assert set(split_of(store)) < set(first)


def test_another_dataset_of_the_name_and_a_damaged_one_decide_nothing(tmp_path: Path) -> None:
    fresh = split_of(added(tmp_path, photos(*range(10)), name="y"))
    added(tmp_path, photos(*range(50, 53), classes=("one", "two")))
    assert split_of(added(tmp_path, photos(*range(10)))) == fresh
    for damage in (b"", b"{}\n", b"not json"):
        (tmp_path / "x" / MANIFEST).write_bytes(damage)
        assert Earlier.of(tmp_path, "x") is None
        store = added(tmp_path, photos(*range(10)))
        assert (split_of(store), dict(store.card.replaced)) == (fresh, {})
    assert Earlier.of(tmp_path, "none") is None


def test_the_same_bytes_come_before_the_same_name(tmp_path: Path) -> None:
    files = photos(*range(10))
    store = added(tmp_path, files)
    earlier = Earlier.of(tmp_path, "x")
    assert earlier is not None
    by_split = {split: name for name, split in _names(store).items()}
    train, test = by_split["train"], by_split["test"]
    assert earlier.split_of(train, lambda: files[test]) == TEST
    assert earlier.split_of(train, lambda: b"edited") == TRAIN
    assert earlier.split_of("cat/other.png", lambda: b"edited") == NEW
    assert earlier.split_of("cat/\udcff.png", lambda: b"edited") == NEW


def _names(store: Store) -> dict[str, str]:
    lines = map(json.loads, (store.path / MANIFEST).read_text().splitlines())
    return {line["name"]: line["split"] for line in lines}


@settings(max_examples=12, deadline=None)
@given(st.lists(st.sets(st.integers(0, 24), min_size=3), min_size=2, max_size=5))
def test_no_test_has_an_image_that_a_named_dataset_trained_on(steps: list[set[int]]) -> None:
    """The promise of `DatasetCard.replaced`, over any history of added, removed and returned photos."""
    trained: dict[str, set[str]] = {}
    with TemporaryDirectory() as folder:
        for numbers in steps:
            store = added(Path(folder), photos(*sorted(numbers)))
            splits = split_of(store)
            test = {digest for digest, split in splits.items() if split == "test"}
            for digest, is_whole in store.card.replaced.items():
                assert not trained[digest] & test
                assert not is_whole or trained[digest] <= set(splits)
            trained[store.card.digests["train"]] = set(splits) - test
