"""A plugin's images reach the store, or one error names the plugin."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.toy_dataset import Toy

from resnetctl.data.ingest.plugin import fetch, ingest_plugin
from resnetctl.data.store import open_store
from resnetctl.errors import DataError, PluginError
from resnetctl.hints import Call
from resnetctl.system.download import CHUNK


def test_fetch_yields_the_progress_of_downloads_and_returns_the_path(tmp_path: Path) -> None:
    paths = []

    def fetched() -> Iterator[tuple[int, int | None]]:
        paths.append((yield from fetch(Toy(), tmp_path, source=None)))

    assert list(fetched()) == [(CHUNK, 2 * CHUNK), (2 * CHUNK, 2 * CHUNK)]
    assert paths == [tmp_path / "toy.bin"]


def test_an_error_in_fetch_is_raised_in_the_calling_thread(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="could not be downloaded"):
        list(fetch(Toy(spoil="no network"), tmp_path, source=None))
    with pytest.raises(PluginError, match="ZeroDivisionError: oops") as caught:
        list(fetch(Toy(spoil="fetch"), tmp_path, source=None))
    assert caught.value.hint == (Call("plugins check", ("toy",)),)
    assert "toy_dataset.py:" in str(caught.value.where)


def test_ingest_stores_all_splits_and_measures_mean_and_std(tmp_path: Path) -> None:
    assert list(ingest_plugin(tmp_path, "mine", plugin=Toy(), path=tmp_path, replace=False)) == [6]
    store = open_store(tmp_path, "mine")
    assert dict(store.card.splits) == {"train": 4, "test": 2}
    assert store.split("train").images[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert store.card.image.mean == (round(1.5 / 255, 6),)


def test_wrong_counts_store_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="its card says"):
        list(ingest_plugin(tmp_path, "mine", plugin=Toy(spoil="short"), path=tmp_path, replace=False))
    assert not (tmp_path / "mine").exists()
