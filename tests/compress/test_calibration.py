"""Calibration images are a balanced, seeded choice from train; the gate's images are val as training had it."""

import dataclasses

import numpy as np
import pytest
from support.trained import CLASSES, card, make_store

from resnetctl.compress.calibration import choose, class_order, sets, val_notices
from resnetctl.data.splits import ImageSet, open_eval_set
from resnetctl.errors import DataError
from resnetctl.spec import ImageSpec, ValSplit

SPEC = ImageSpec(size=2, channels=1, mean=(0.5,), std=(0.5,))


def numbered(*counts: int) -> ImageSet:
    """Return images whose pixels are their row, `counts` of each class."""
    labels = np.repeat(np.arange(len(counts)), counts)
    rows = np.arange(len(labels))
    pixels = np.broadcast_to(rows[:, None, None, None].astype(np.uint8), (len(rows), 2, 2, 1))
    return ImageSet(images=pixels, labels=labels, index=rows, classes=CLASSES, split="train")


def test_each_class_gets_equally_many_as_far_as_it_has_them() -> None:
    images = numbered(50, 3, 40)
    rows = choose(images, SPEC, count=21)[:, 0, 0, 0]
    assert np.bincount(images.labels[rows]).tolist() == [9, 3, 9]
    assert len(set(rows.tolist())) == 21


def test_the_choice_follows_from_the_seed() -> None:
    images = numbered(30, 30, 30)
    first, same = (choose(images, SPEC, count=12) for _ in range(2))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, choose(images, SPEC, count=12, seed=1))


def test_only_rows_of_the_set_are_chosen() -> None:
    images = dataclasses.replace(numbered(10, 10, 10), index=np.arange(5, 25))
    rows = choose(images, SPEC, count=20)[:, 0, 0, 0]
    assert rows.tolist() == list(range(5, 25))


@pytest.mark.parametrize(
    ("counts", "asked", "message"),
    [
        ((3, 3, 3), 10, "train has 9 images, and the calibration asks for 10"),
        ((9,), 4, "of one class, 'ape'"),
    ],
)
def test_unusable_images_are_refused(counts: tuple[int, ...], asked: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        choose(numbered(*counts), SPEC, count=asked)


def test_images_of_one_colour_are_refused() -> None:
    images = numbered(5, 5)
    with pytest.raises(DataError, match="of one colour"):
        choose(dataclasses.replace(images, images=np.zeros_like(images.images)), SPEC, count=4)


def test_train_and_val_are_those_of_the_training() -> None:
    store = make_store()
    described = card(store)
    train, val = sets(store, described)
    assert np.array_equal(val.index, open_eval_set(store, "val", val_split=described.split).index)
    assert not set(train.index.tolist()) & set(val.index.tolist())
    assert len(train) + len(val) == 90


def test_weights_of_other_data_get_a_tenth_of_train_as_val() -> None:
    train, val = sets(make_store(), card())
    assert (len(train), len(val)) == (81, 9)


def test_a_val_that_the_network_was_trained_on_is_told() -> None:
    store = make_store()
    everything = dataclasses.replace(card(store), split=None)
    assert val_notices(store, card(store)) == ()
    assert val_notices(store, card(store, trained_on={"name": "other", "digest": "d"})) == ()
    assert ["do not say" in text for text in val_notices(store, card())] == [True]
    assert ["began with" in text for text in val_notices(store, card(store, val_seen=True))] == [True]
    assert ["flatters" in text for text in val_notices(store, everything)] == [True]
    changed = card(store, trained_on={"name": store.card.name, "digest": "0" * 64})
    changed = dataclasses.replace(changed, split=ValSplit(val_fraction=0.1, seed=0, digest="0" * 64))
    assert ["has changed" in text for text in val_notices(store, changed)] == [True]
    assert len(sets(store, changed)[1]) == 9
    own = make_store(name="own", splits={"train": 6, "val": 2})
    assert val_notices(own, dataclasses.replace(card(own), split=None)) == ()


def test_a_dataset_without_val_and_without_spare_images_is_refused() -> None:
    store = make_store(splits={"train": 1})
    with pytest.raises(DataError, match="too few images for val"):
        sets(store, card())


def test_classes_are_matched_by_name() -> None:
    assert class_order(("b", "a"), ("a", "b"), name="zoo").tolist() == [1, 0]
    with pytest.raises(DataError, match="the classes of 'zoo' are not those of the network"):
        class_order(("a", "c"), ("a", "b"), name="zoo")
