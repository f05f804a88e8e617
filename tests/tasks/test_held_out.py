"""The images that `eval` and `report` share. More is tested through `evaluate`."""

from pathlib import Path

import pytest
from support.trained import card, make_store

from resnetctl.data.splits import open_eval_set
from resnetctl.errors import DataError, UsageError
from resnetctl.hints import Call
from resnetctl.tasks.held_out import class_order, relabelled_batches, require_split, trained_on


def test_labels_follow_the_order_of_the_outputs() -> None:
    store = make_store(classes=("cow", "ape", "bee"))
    order = class_order(store.card.classes, ("ape", "bee", "cow"), name="zoo")
    images = open_eval_set(store, "test", val_split=None)
    labels = [label for _, labels in relabelled_batches(images, card(), order=order) for label in labels.tolist()]
    names = [("ape", "bee", "cow")[label] for label in labels]
    assert names == [store.card.classes[label] for label in images.labels.tolist()]


def test_only_splits_that_training_did_not_see_are_measured() -> None:
    require_split("val")
    with pytest.raises(UsageError, match="'train' is no split to measure"):
        require_split("train")


def test_weights_that_name_no_dataset_are_told_to_the_verb_that_asked() -> None:
    with pytest.raises(DataError) as caught:
        trained_on(card(), Path("w.safetensors"), verb="report")
    assert caught.value.hint == (Call("report", (Path("w.safetensors"),), {"data": "NAME"}),)
