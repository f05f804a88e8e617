"""`data get URL` copies a published store, whatever the server does, or leaves nothing but bytes to go on with."""

import functools
import hashlib
import http.server
import json
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.photos import both
from support.toy_dataset import done

from resnetctl.data.storage.files import index_bytes, read_index
from resnetctl.data.store import open_store
from resnetctl.errors import DataError, UsageError
from resnetctl.system import download
from resnetctl.system.settings import Settings
from resnetctl.tasks.data.check import check
from resnetctl.tasks.data.get import get

SHARD = "train-00000.bin"


@dataclass
class Faults:
    """What the server does with a file: `cut`, `stall`, `lie` or `refuse`, and how often before it is honest."""

    how: str = ""
    name: str = SHARD
    times: int = 1
    ranges: list[str] = field(default_factory=list)


class Handler(http.server.SimpleHTTPRequestHandler):
    faults = Faults()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer with a file from the byte that the request names, or spoil it."""
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        wanted = self.headers.get("Range")
        begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        data, faults = bytearray(path.read_bytes()[begin:]), self.faults
        is_spoiled = path.name == faults.name and faults.times > 0
        if path.name == faults.name:
            faults.times -= 1
            faults.ranges.append(wanted or "")
        if is_spoiled and faults.how == "refuse":
            self.send_error(503)
            return
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(data)))
        if wanted:
            self.send_header("Content-Range", f"bytes {begin}-{begin + len(data) - 1}/{begin + len(data)}")
        self.end_headers()
        if is_spoiled and faults.how == "lie":
            data[len(data) // 2] ^= 1
        half = len(data) // 2 if is_spoiled and faults.how in ("cut", "stall") else len(data)
        self.wfile.write(data[:half])
        if half < len(data) and faults.how == "stall":
            time.sleep(0.6)


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
    handler = functools.partial(Handler, directory=str(shop))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as local:
        threading.Thread(target=local.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{local.server_port}"
        local.shutdown()


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


@pytest.mark.parametrize("how", ["cut", "stall"])
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
    with pytest.raises(DataError, match=r"is not a dataset: .* train-00000.bin: the file cannot be read"):
        done(get(f"{server}/spoiled", settings))
    assert not (settings.data_dir / "spoiled").exists()
