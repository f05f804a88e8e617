"""A web server that publishes a store, and fails, stalls or lies on demand."""

import functools
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from support.photos import added, files
from support.pictures import write_tree

from resnetctl.data.storage import files as file_form

SHARD = "train-00000.bin"
SHARD_BYTES = 3000  # of `small_shards`


@dataclass
class Faults:
    """What the server does with a file: `cut`, `stall`, `lie`, `refuse` or `ignore` (a range), and how often.

    `name` may have wildcards; faults begin when `when` returns True. `ranges` has the range of each request for it,
    `asked` the names of all files that were asked for.
    """

    how: str = ""
    name: str = SHARD
    times: int = 1
    when: Callable[[], bool] = lambda: True
    ranges: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, with the faults of its class."""

    faults = Faults()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer with a file from the byte that the request names, or spoil it."""
        path = Path(self.translate_path(self.path))
        self.faults.asked.append(path.name)
        if not path.is_file():
            self.send_error(404)
            return
        wanted = self.headers.get("Range")
        faults, is_meant = self.faults, fnmatch(path.name, self.faults.name) and self.faults.when()
        is_spoiled = is_meant and faults.times > 0
        if is_meant:
            faults.times -= 1
            faults.ranges.append(wanted or "")
        if faults.how == "ignore":
            wanted, is_spoiled = None, is_spoiled and len(faults.ranges) == 1
        begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        data = bytearray(path.read_bytes()[begin:])
        if is_spoiled and faults.how == "refuse":
            self.send_error(503)
            return
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(data)))
        if wanted:
            self.send_header("Content-Range", f"bytes {begin}-{begin + len(data) - 1}/{begin + len(data)}")
        self.end_headers()
        if is_spoiled and faults.how == "lie":
            data[0 if data[:1] == b"{" else len(data) // 2] ^= 1  # a changed text in a card would be another card
        half = len(data) // 2 if is_spoiled and faults.how in ("cut", "stall", "ignore") else len(data)
        self.wfile.write(data[:half])
        if half < len(data) and faults.how == "stall":
            time.sleep(0.6)


@contextmanager
def published(folder: Path) -> Iterator[str]:
    """Serve a folder; yield its address."""
    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as local:
        threading.Thread(target=local.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{local.server_port}"
        local.shutdown()


def small_shards(folder: Path) -> Path:
    """Write a data folder with a store of files, `files`, in shards of 3 KB, and return it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_form, "SHARD_BYTES", SHARD_BYTES)
        added(write_tree(folder / "photos", files()), folder / "data", "files", "jpeg")
    return folder / "data"
