"""`data get URL` copies a published store, whatever the server does, or leaves nothing but bytes to go on with."""

import functools
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.photos import both
from support.publishing import SHARD, Faults, Handler, published
from support.toy_dataset import done

from resnetctl.data.storage.files import index_bytes, read_index
from resnetctl.data.store import open_store
from resnetctl.errors import DataError, UsageError
from resnetctl.system import download
from resnetctl.system.settings import Settings
from resnetctl.tasks.data.check import check
from resnetctl.tasks.data.get import get


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    both(folder)
    return folder / "data"


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    monkeypatch.setattr(Handler, "faults", Faults())
    patience = functools.partial(download.Patience, stall=0.3, opening=2.0, fruitless=5.0)
    monkeypatch.setattr(download, "Patience", patience)
    return Handler.faults


@pytest.fixture
def server(shop: Path, faults: Faults) -> Iterator[str]:
    with published(shop) as address:
        yield address


@pytest.mark.parametrize("name", ["raw", "files"])
def test_a_copy_is_the_published_store(server: str, shop: Path, settings: Settings, name: str) -> None:
    report = done(get(f"{server}/{name}", settings))
    original = open_store(shop, name)
    assert report.done
    assert report.card is not None
    assert report.card.source == f"{server}/{name}"
    for split in original.splits:
        assert np.array_equal(
            open_store(settings.data_dir, name).split(split).images[:], original.split(split).images[:]
        )
    assert not done(check(name, settings)).failed
    copied = {path.name for path in (settings.data_dir / name).iterdir()}
    assert copied | {"manifest.jsonl"} == {path.name for path in original.path.iterdir()}
    assert not done(get(f"{server}/{name}", settings)).done
    with pytest.raises(UsageError, match="is already in the store, from another source"):
        done(get(f"http://127.0.0.1:1/{name}", settings))


@pytest.mark.parametrize("how", ["cut", "stall", "ignore"])
def test_a_broken_transfer_goes_on_where_it_stopped(server: str, settings: Settings, faults: Faults, how: str) -> None:
    faults.how = how
    assert done(get(f"{server}/files", settings)).done
    assert faults.ranges[0] == ""
    assert faults.ranges[1].startswith("bytes=")


@pytest.mark.parametrize("how", ["lie", "refuse"])
@pytest.mark.parametrize("name", [SHARD, "train.safetensors", "manifest.jsonl"])
def test_a_lying_or_failing_server_is_one_error_and_stores_nothing(
    server: str, settings: Settings, faults: Faults, how: str, name: str
) -> None:
    faults.how, faults.name, faults.times = how, name, 9
    with pytest.raises(DataError, match="could not be downloaded") as caught:
        done(get(f"{server}/files", settings))
    assert caught.value.exit_code == 3
    assert [path.name for path in settings.data_dir.glob("*")] in ([], [".downloads"])
    faults.times = 0
    assert done(get(f"{server}/files", settings)).done
    assert sorted(path.name for path in settings.data_dir.glob("*")) == [".downloads", "files"]


@pytest.mark.parametrize(("how", "problem"), [("lie", "not the card"), ("refuse", "HTTP 503"), ("cut", "not the card")])
def test_a_card_that_does_not_arrive_is_one_error(
    server: str, settings: Settings, faults: Faults, how: str, problem: str
) -> None:
    faults.how, faults.name = how, "card.json"
    with pytest.raises(DataError, match=problem):
        done(get(f"{server}/files", settings))


def test_a_published_store_without_its_shards_is_refused(server: str, shop: Path, settings: Settings) -> None:
    """Every digest is right, but the index names no shard."""
    spoiled = shop / "spoiled"
    shutil.copytree(shop / "files", spoiled)
    table = read_index(spoiled / "train.safetensors")
    data = index_bytes(list(table.columns.values()), table.digests.tobytes(), about={})
    (spoiled / "train.safetensors").write_bytes(data)
    card = json.loads((spoiled / "card.json").read_text())
    card["digests"]["train"] = hashlib.sha256(data).hexdigest()
    (spoiled / "card.json").write_text(json.dumps(card))
    with pytest.raises(DataError, match=r"is not a dataset: .* train-00000.bin: there is no such file"):
        done(get(f"{server}/spoiled", settings))
    assert not (settings.data_dir / "spoiled").exists()


def test_a_remote_store_has_the_index_and_no_shard(server: str, shop: Path, settings: Settings) -> None:
    report = done(get(f"{server}/files", settings, remote=True))
    assert report.card is not None
    assert (report.card.remote, report.card.defaults["sampler"]) == (f"{server}/files", "windowed")
    names = {path.name for path in (settings.data_dir / "files").iterdir()}
    assert names == {"card.json", "manifest.jsonl", "train.safetensors", "test.safetensors"}
    original = open_store(shop, "files")
    for split in original.splits:
        assert np.array_equal(
            open_store(settings.data_dir, "files").split(split).images[:], original.split(split).images[:]
        )
    assert not done(check("files", settings)).failed


def test_only_files_at_an_address_can_be_remote(server: str, settings: Settings) -> None:
    with pytest.raises(UsageError, match="only files can stay on a server"):
        done(get(f"{server}/raw", settings, remote=True))
    with pytest.raises(UsageError, match="'digits' is no address"):
        done(get("digits", settings, remote=True))


def test_a_copy_of_a_card_that_says_remote_is_a_copy(server: str, shop: Path, settings: Settings) -> None:
    """A publisher does not choose from where the images of others come."""
    twin = shop / "twin"
    shutil.copytree(shop / "files", twin, dirs_exist_ok=True)
    card = json.loads((twin / "card.json").read_text()) | {"remote": "http://127.0.0.1:1/elsewhere"}
    (twin / "card.json").write_text(json.dumps(card))
    copied = done(get(f"{server}/twin", settings)).card
    assert copied is not None
    assert copied.remote == ""
    assert (settings.data_dir / "twin" / SHARD).is_file()


def test_a_store_in_another_kind_of_place_is_copied_with_fsspec(shop: Path, settings: Settings) -> None:
    assert done(get(f"file://{shop}/files", settings)).done
    assert not done(check("files", settings)).failed
    with pytest.raises(DataError, match=r"cannot be downloaded: .*(s3fs|Unable|credentials|connect|No such)"):
        done(get("s3://127.0.0.1-no-bucket/other", settings))
