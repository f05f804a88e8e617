"""`data get` stores the images of a plugin, and nothing if the plugin fails."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.toy_dataset import Toy, done, run

from resnetctl.data.cards import store_names
from resnetctl.data.store import open_store
from resnetctl.errors import DataError, PluginError, UsageError, WorkFailed
from resnetctl.facts import Progress
from resnetctl.hints import Call
from resnetctl.spec import Split
from resnetctl.system.download import CHUNK
from resnetctl.system.settings import Settings
from resnetctl.tasks.data.get import get
from resnetctl.tasks.datasets import DOWNLOADS


def test_get_stores_the_images_of_the_plugin(toy: Toy, settings: Settings) -> None:
    report, facts = run(get("toy", settings))
    assert report.schema == "resnetctl.data.get/1"
    assert (report.name, report.path, report.done) == ("toy", settings.data_dir / "toy", True)
    card = open_store(settings.data_dir, "toy").card
    assert report.card == card
    assert (card.licence, card.source, card.notes[0]) == ("CC0", "https://example.org", "a toy")
    assert dict(card.defaults) == {"mirror": False, "epochs": 3}
    assert dict(card.splits) == {"train": 4, "test": 2}
    assert card.image.mean == (round(1.5 / 255, 6),)  # measured, not from the plugin's card
    assert set(card.digests) == {"toy.bin", "train", "test"}
    assert facts == [
        Progress(what="downloading toy", done=CHUNK, total=2 * CHUNK, unit="B"),
        Progress(what="downloading toy", done=2 * CHUNK, total=2 * CHUNK, unit="B"),
        Progress(what="storing toy", done=6, total=6, unit="images"),
    ]
    assert toy.fetched == [(settings.data_dir / DOWNLOADS, None)]


def test_get_keeps_a_dataset_that_is_in_the_store(toy: Toy, settings: Settings, tmp_path: Path) -> None:
    done(get("toy", settings))
    assert done(get("toy", settings)).done is False
    with pytest.raises(UsageError, match="already in the store"):
        done(get("toy", settings, source=tmp_path))
    assert len(toy.fetched) == 1
    assert done(get("toy", settings, source=tmp_path, replace=True)).done
    assert toy.fetched[-1][1] == tmp_path


@pytest.mark.parametrize(
    ("spoil", "error", "text"),
    [
        ("no network", DataError, "could not be downloaded"),
        ("fetch", PluginError, "dataset 'toy' failed: ZeroDivisionError: oops"),
        ("read", PluginError, "dataset 'toy' failed: KeyError"),
        ("short", DataError, "its card says"),
        ("class", DataError, "class 'c'"),
        ("shape", DataError, "the image is"),
    ],
)
def test_a_plugin_that_fails_leaves_nothing(
    toy: Toy, settings: Settings, spoil: str, error: type[Exception], text: str
) -> None:
    toy.spoil = spoil
    with pytest.raises(error, match=text):
        done(get("toy", settings))
    assert store_names(settings.data_dir) == []
    assert not settings.data_dir.exists() or list(settings.data_dir.iterdir()) == []


def test_two_processes_may_get_the_same_dataset_at_once(
    toy: Toy, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Toy.read
    inside = []

    def read(self: Toy, path: Path, split: Split) -> Iterator[tuple[np.ndarray[Any, Any], str]]:
        if not inside:
            inside.append(True)
            done(get("toy", settings))
        return original(self, path, split)

    monkeypatch.setattr(Toy, "read", read)
    assert done(get("toy", settings)).card is not None
    assert [path.name for path in settings.data_dir.iterdir()] == ["toy"]


def test_a_failed_replacement_is_an_error_and_keeps_the_dataset(
    toy: Toy, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(get("toy", settings))
    monkeypatch.setattr(Toy, "read", full_disk)
    for replace in (False, True):
        with pytest.raises(WorkFailed) if replace else contextlib.nullcontext():
            assert not done(get("toy", settings, replace=replace)).done
    assert store_names(settings.data_dir) == ["toy"]


def full_disk(*_: object) -> Iterator[Any]:
    raise WorkFailed("no space")
    yield


def test_get_refuses_an_unknown_name(settings: Settings) -> None:
    with pytest.raises(UsageError, match="no dataset is called 'digit'"):
        done(get("digit", settings))
    with pytest.raises(UsageError, match="takes a name or an address") as caught:
        done(get("./photos", settings))
    assert caught.value.hint == (Call("data add", ("./photos",)),)


def test_get_digits_needs_no_network(settings: Settings) -> None:
    assert dict(done(get("digits", settings)).card.splits) == {"train": 1438, "test": 359}  # type: ignore[union-attr]
