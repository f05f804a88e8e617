"""Splits depend on labels, fraction and seed only, and training never opens the test split."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetctl.data.images import fit
from resnetctl.data.split_groups import joined
from resnetctl.data.splits import (
    ImageSet,
    digest,
    eval_batches,
    open_eval_set,
    open_sets,
    share,
    split_digest,
    stratified,
)
from resnetctl.data.store import Store, build, open_store
from resnetctl.errors import DataError
from resnetctl.hints import Call
from resnetctl.spec import DatasetCard, ImageSpec, Split, ValSplit

CLASSES = ("a", "b", "c")


def make(data_dir: Path, *, name: str = "x", size: int = 4, **counts: int) -> Store:
    """Store a dataset with `counts` images per split, with alternating classes."""
    card = DatasetCard(name=name, classes=CLASSES, image=ImageSpec(size=size), splits={})
    generator = np.random.default_rng(1)
    with build(data_dir, name, draft=card) as builder:
        for split, count in counts.items():
            for row in range(count):
                image = generator.integers(0, 256, (size, size, 3), dtype=np.uint8)
                builder.add(split, image, label=CLASSES[row % 3], name=f"{row}", sha256="")
    return open_store(data_dir, name)


def test_val_images_are_taken_out_of_train(tmp_path: Path) -> None:
    store = make(tmp_path, train=60, test=9)
    train, val, val_split = open_sets(store, val_fraction=0.1, seed=0)
    assert val is not None
    assert val_split is not None
    assert (len(train), len(val)) == (54, 6)
    assert np.bincount(val.labels[val.index]).tolist() == [2, 2, 2]
    assert sorted([*train.index, *val.index]) == list(range(60))
    assert (val_split.val_fraction, val_split.seed, val_split.digest) == (0.1, 0, digest(val.index))
    assert (train.split, val.split) == ("train", "val")
    assert train.store_digest == store.card.digests["train"]
    assert train.classes == CLASSES


def test_groups_stay_together_in_val(tmp_path: Path) -> None:
    card = DatasetCard(name="x", classes=CLASSES, image=ImageSpec(size=4), splits={})
    images = np.random.default_rng(1).integers(0, 256, (90, 4, 4, 3), dtype=np.uint8)
    with build(tmp_path, "x", draft=card) as builder:
        for row, image in enumerate(images):
            builder.add("train", image, label=CLASSES[row % 3], name=f"{row}", sha256="", group=f"scene {row // 6}")
    train, val, val_split = open_sets(open_store(tmp_path, "x"), val_fraction=0.2, seed=0)
    assert val is not None
    assert {row // 6 for row in val.index}.isdisjoint(row // 6 for row in train.index)
    assert np.bincount(val.labels[val.index]).tolist() == [6, 6, 6]
    again = open_eval_set(open_store(tmp_path, "x"), "val", val_split=val_split)
    assert again.index.tolist() == val.index.tolist()


def test_val_depends_on_the_seed_only(tmp_path: Path) -> None:
    store = make(tmp_path, train=90)
    rows = [open_sets(store, val_fraction=0.2, seed=seed)[1].index.tolist() for seed in (0, 0, 1)]
    assert rows[0] == rows[1]
    assert rows[0] != rows[2]


def test_the_chosen_rows_never_change() -> None:
    """The rows are pinned: weights have a digest of them, so they must not change with the version of numpy."""
    labels = np.arange(20) % 2
    assert stratified(labels, 0.2, seed=0, purpose="val").tolist() == GOLDEN_VAL
    assert stratified(labels, 0.2, seed=0, purpose="test").tolist() == GOLDEN_TEST


GOLDEN_VAL = [10, 11, 15, 16]
GOLDEN_TEST = [3, 9, 14, 16]


def test_a_fraction_of_zero_gives_no_val(tmp_path: Path) -> None:
    train, val, val_split = open_sets(make(tmp_path, train=6), val_fraction=0, seed=0)
    assert (len(train), val, val_split) == (6, None, None)


def test_a_stored_val_split_is_used_whole(tmp_path: Path) -> None:
    train, val, val_split = open_sets(make(tmp_path, train=6, val=3), val_fraction=0.5, seed=0)
    assert val is not None
    assert (len(train), len(val), val_split) == (6, 3, None)


def test_classes_of_one_image_stay_in_train(tmp_path: Path) -> None:
    train, val, val_split = open_sets(make(tmp_path, train=3), val_fraction=0.5, seed=0)
    assert (len(train), val, val_split) == (3, None, None)


@given(
    labels=st.lists(st.integers(0, 4), max_size=80),
    fraction=st.floats(0, 0.99),
    seed=st.integers(0, 2**31),
)
def test_stratified_takes_at_least_one_and_never_all_of_a_class(labels: list[int], fraction: float, seed: int) -> None:
    label_array = np.array(labels, np.int64)
    rows = stratified(label_array, fraction, seed=seed, purpose="val")
    assert rows.dtype == np.int64
    assert (np.diff(rows) > 0).all()
    assert (rows == stratified(label_array, fraction, seed=seed, purpose="val")).all()
    for label in set(labels):
        total, chosen = labels.count(label), int((label_array[rows] == label).sum())
        assert chosen == share(total, fraction)
        assert chosen < total
        assert abs(chosen - total * fraction) <= 1 or total < 2


@pytest.mark.parametrize(
    ("count", "fraction", "expected"),
    [
        (0, 0.1, 0),
        (1, 0.9, 0),
        (2, 0.01, 1),
        (2, 0.99, 1),
        (10, 0.1, 1),
        (25, 0.1, 3),
        (24, 0.1, 2),
        (5000, 0.1, 500),
        (9, 0, 0),
    ],
)
def test_share_is_rounded_and_leaves_at_least_one_image(count: int, fraction: float, expected: int) -> None:
    assert share(count, fraction) == expected


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from((-1, 0, 1)), st.integers(0, 12)), min_size=1, max_size=60),
    st.floats(0.01, 0.99),
)
def test_known_images_stay_and_groups_are_whole(images: list[tuple[int, int, int]], fraction: float) -> None:
    labels, known, keys = (np.array(column) for column in zip(*images, strict=True))
    groups = joined(keys)
    for among in (None, groups):
        rows = stratified(labels, fraction, seed=0, purpose="test", groups=among, known=known.astype(np.int8))
        is_chosen = np.isin(np.arange(len(labels)), rows)
        assert not (is_chosen & (known == 0)).any()
        assert not np.setdiff1d(labels, labels[~is_chosen]).size, "a class is never chosen whole"
        if among is not None:
            assert (is_chosen == is_chosen[groups]).all()
        else:
            has_train = np.isin(labels, labels[known < 1])
            assert is_chosen[has_train & (known == 1)].all()


def test_new_images_fill_the_fraction() -> None:
    labels, known = np.repeat([0, 1], 10), np.full(20, -1, np.int8)
    known[:5], known[10:18], known[10:12] = 0, 0, 1
    rows = stratified(labels, 0.2, seed=0, purpose="test", known=known)
    assert np.bincount(labels[rows]).tolist() == [2, 2]
    assert set(rows.tolist()) >= {10, 11}
    assert rows.tolist() == stratified(labels, 0.2, seed=0, purpose="test", known=known, groups=np.arange(20)).tolist()


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_a_fraction_outside_0_to_1_is_refused(fraction: float) -> None:
    with pytest.raises(DataError, match="cannot be set aside"):
        stratified(np.zeros(4, np.int64), fraction, seed=0, purpose="val")


def test_no_code_path_of_training_opens_test(tmp_path: Path) -> None:
    """An audit hook records every file that is opened while the training sets are built and read."""
    store = make(tmp_path, train=60, test=9)
    opened: list[str] = []
    watching = [True]

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if watching[0] and event == "open":
            opened.append(str(arguments[0]))

    sys.addaudithook(watch)  # an audit hook cannot be removed, only silenced
    try:
        train, val, _ = open_sets(open_store(tmp_path, "x"), val_fraction=0.1, seed=0)
        assert val is not None
        for images in (train, val):
            for _ in eval_batches(images, ImageSpec(size=4), batch_size=8):
                pass
        assert any(path.endswith("train.safetensors") for path in opened)
        assert not any("test.safetensors" in path for path in opened)
        open_eval_set(store, "test", val_split=None)
        assert any(path.endswith("test.safetensors") for path in opened)  # the hook does record it
    finally:
        watching[0] = False


def test_training_works_without_the_test_file(tmp_path: Path) -> None:
    store = make(tmp_path, train=60, test=9)
    store.file("test").unlink()
    train, val, _ = open_sets(store, val_fraction=0.1, seed=0)
    assert val is not None
    assert len(train) + len(val) == 60


def test_training_opens_only_train_and_val_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    original = Store.split

    def split(self: Store, name: Split) -> object:
        asked.append(name)
        return original(self, name)

    monkeypatch.setattr(Store, "split", split)
    open_sets(make(tmp_path, train=6, val=3, test=3), val_fraction=0.1, seed=0)
    assert asked == ["train", "val"]


def test_eval_opens_the_stored_split(tmp_path: Path) -> None:
    store = make(tmp_path, train=6, val=4, test=5)
    sizes = {split: len(open_eval_set(store, split, val_split=None)) for split in ("train", "val", "test")}
    assert sizes == {"train": 6, "val": 4, "test": 5}


def test_eval_on_train_opens_what_training_used(tmp_path: Path) -> None:
    store = make(tmp_path, train=60, test=9)
    train, _, val_split = open_sets(store, val_fraction=0.1, seed=0)
    images = open_eval_set(store, "train", val_split=val_split)
    assert (images.split, images.index.tolist()) == ("train", train.index.tolist())
    stored = make(tmp_path, name="stored", train=60, val=6)
    assert len(open_eval_set(stored, "train", val_split=val_split)) == 60
    assert val_split is not None
    with pytest.raises(DataError, match="cannot be rebuilt"):
        open_eval_set(store, "train", val_split=dataclasses.replace(val_split, seed=1))


def test_without_test_eval_uses_val_and_says_so(tmp_path: Path) -> None:
    images = open_eval_set(make(tmp_path, train=6, val=4), "test", val_split=None)
    assert (images.split, len(images)) == ("val", 4)


def test_without_test_and_val_eval_rebuilds_val(tmp_path: Path) -> None:
    store = make(tmp_path, train=60)
    _, val, val_split = open_sets(store, val_fraction=0.1, seed=3)
    assert val is not None
    for asked in ("val", "test"):
        images = open_eval_set(store, asked, val_split=val_split)
        assert images.split == "val"
        assert (images.index == val.index).all()


def test_val_is_rebuilt_exactly_or_refused(tmp_path: Path) -> None:
    store = make(tmp_path, train=60)
    _, _, val_split = open_sets(store, val_fraction=0.1, seed=3)
    assert val_split is not None
    other = dataclasses.replace(val_split, digest="00" * 32)
    with pytest.raises(DataError, match="changed since"):
        open_eval_set(store, "val", val_split=other)
    larger = make(tmp_path, name="larger", train=90)
    with pytest.raises(DataError, match="changed since"):
        open_eval_set(larger, "val", val_split=val_split)
    unknown = ValSplit(val_fraction=0.1, seed=3)
    assert len(open_eval_set(store, "val", val_split=unknown)) == 6


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_split_that_is_neither_stored_nor_drawn_is_an_error(tmp_path: Path, split: Split) -> None:
    with pytest.raises(DataError, match=f"no {split} split, only train") as caught:
        open_eval_set(make(tmp_path, train=6), split, val_split=None)
    assert Call("data show", ("x",)) in caught.value.hint


def whole(store: Store) -> ImageSet:
    return open_sets(store, val_fraction=0, seed=0)[0]


def test_batches_keep_the_order_and_the_last_may_be_smaller(tmp_path: Path) -> None:
    images = whole(make(tmp_path, train=10))
    batches = list(eval_batches(images, ImageSpec(size=4), batch_size=4))
    assert [len(labels) for _, labels in batches] == [4, 4, 2]
    assert (np.concatenate([pixels for pixels, _ in batches]) == images.images).all()
    assert np.concatenate([labels for _, labels in batches]).tolist() == images.labels.tolist()


def test_batches_of_a_part_have_only_its_rows(tmp_path: Path) -> None:
    images = dataclasses.replace(whole(make(tmp_path, train=10)), index=np.array([1, 8]))
    (pixels, labels), *rest = eval_batches(images, ImageSpec(size=4), batch_size=64)
    assert rest == []
    assert (pixels == images.images[[1, 8]]).all()
    assert labels.tolist() == [1, 2]


def test_batches_are_cropped_or_fitted(tmp_path: Path) -> None:
    images = whole(make(tmp_path, train=6, size=8))
    (cropped, _), *_ = eval_batches(images, ImageSpec(size=6, resize=8), batch_size=8)
    assert (cropped == images.images[:, 1:7, 1:7]).all()
    spec = ImageSpec(size=10, resize=12, interpolation="bicubic")
    (fitted, _), *_ = eval_batches(images, spec, batch_size=8)
    expected = fit(np.asarray(images.images[2]), resize=12, interpolation="bicubic")[1:11, 1:11]
    assert (fitted[2] == expected).all()
    assert fitted.flags.c_contiguous


def test_stored_images_are_given_as_they_are_but_for_their_channels(tmp_path: Path) -> None:
    images = open_eval_set(make(tmp_path, train=12), "train", val_split=None)
    (stored, labels), *_ = eval_batches(images, ImageSpec(size=4), batch_size=8, as_stored=True)
    raw = images.images[images.index[:8]]
    assert np.array_equal(stored, np.repeat(raw, 3, axis=3) if raw.shape[3] == 1 else raw)
    assert labels.tolist() == images.labels[images.index[:8]].tolist()


def test_batches_have_the_channels_of_the_spec(tmp_path: Path) -> None:
    images = whole(make(tmp_path, train=6))
    grey = ImageSpec(size=4, channels=1, mean=(0.5,), std=(0.5,))
    (pixels, _), *_ = eval_batches(images, grey, batch_size=8)
    assert pixels.shape == (6, 4, 4, 1)
    with pytest.raises(DataError, match="channels"):
        next(iter(eval_batches(images, ImageSpec(size=4, channels=2, mean=(0.5,) * 2, std=(0.5,) * 2), batch_size=8)))


def test_an_empty_set_has_no_batches(tmp_path: Path) -> None:
    images = dataclasses.replace(whole(make(tmp_path, train=6)), index=np.empty(0, np.int64))
    assert list(eval_batches(images, ImageSpec(size=4), batch_size=8)) == []


def test_the_digest_of_a_set_is_of_the_images_and_the_rows(tmp_path: Path) -> None:
    images = open_eval_set(make(tmp_path, train=12, test=12), "test", val_split=None)
    part = dataclasses.replace(images, index=images.index[:3])
    assert split_digest(images) != split_digest(part)
    assert split_digest(part) == split_digest(dataclasses.replace(part))
