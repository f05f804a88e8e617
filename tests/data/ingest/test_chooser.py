"""Each item gets the split of its source, or train and a drawn test, which never divides a group."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.pictures import solid, write_tree

from resnetctl.data.ingest.chooser import Chooser
from resnetctl.data.ingest.earlier import NEW, Earlier
from resnetctl.data.ingest.images import ingest
from resnetctl.data.reading.sniff import open_source
from resnetctl.data.storage.options import Options
from resnetctl.errors import DataError


def source(folder: Path, *names: str) -> Any:
    return open_source(write_tree(folder, {name: solid((place, 0, 0)) for place, name in enumerate(names)}))


CATS = [f"cat/{number}.png" for number in range(10)]


def test_a_source_with_splits_keeps_them(tmp_path: Path) -> None:
    found = source(tmp_path, "train/a/1.png", "test/a/2.png")
    choose = Chooser.of(found)
    assert {item.name: choose(item) for item in found.items()} == {
        "test/a/2.png": (0, "test"),
        "train/a/1.png": (1, "train"),
    }
    assert choose.remark(np.arange(2)) == ""


def test_splits_without_train_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no train split"):
        Chooser.of(source(tmp_path, "test/a/2.png"))


def test_a_test_is_drawn_once_and_again_for_groups(tmp_path: Path) -> None:
    choose = Chooser.of(source(tmp_path, *CATS))
    assert choose.is_test is not None
    assert int(choose.is_test.sum()) == 2
    assert choose.remark(np.arange(10)).startswith("test: a fixed, stratified 20 %")
    places, apart = np.arange(10), np.arange(10)
    assert choose.joining(apart, places) is None
    chosen, other = int(np.flatnonzero(choose.is_test)[0]), int(np.flatnonzero(~choose.is_test)[0])
    apart[max(chosen, other)] = min(chosen, other)
    better = choose.joining(apart, places)
    assert better is not None
    assert better.is_test is not None
    assert better.is_test[chosen] == better.is_test[other]


def test_images_of_the_replaced_dataset_keep_their_split(tmp_path: Path) -> None:
    first = source(tmp_path / "a", *CATS[::2])
    list(ingest(tmp_path / "data", "x", source=first, options=Options()))
    before = Chooser.of(first)
    earlier = Earlier.of(tmp_path / "data", "x")
    names = {item.name: before(item)[1] for item in first.items()}
    whole = open_source(
        write_tree(tmp_path / "a", {name: solid((50, place, 0)) for place, name in enumerate(CATS[1::2])})
    )
    choose = Chooser.of(whole, earlier)
    assert choose.known is not None
    assert int((choose.known == NEW).sum()) == 5
    assert names.items() <= {item.name: choose(item)[1] for item in whole.items()}.items()
    assert "5 of 10 images are new, 1 of them in test" in choose.remark(np.arange(10))
    assert "4 of 9 images are new" in choose.remark(
        np.setdiff1d(np.arange(10), np.flatnonzero(choose.known == NEW)[:1])
    )
