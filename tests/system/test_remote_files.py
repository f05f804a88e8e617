"""Files that are not of the web are read with fsspec, block by block, within a time limit."""

import time
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from resnetctl.errors import DataError
from resnetctl.system import remote_files
from resnetctl.system.download import Patience, Remote, digest_of, fetch, read
from resnetctl.system.remote_files import RemoteFile, is_address

DATA = bytes(range(256)) * 40


class Moody(MemoryFileSystem):  # type: ignore[misc]
    """A store that fails, stalls or cuts as often as it is told."""

    protocol = "moody"
    store: dict[str, object] = {}  # noqa: RUF012  # fsspec's own way
    faults: list[str] = []  # noqa: RUF012

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **more: object) -> bytes:
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "stall":
            time.sleep(0.5)
        if fault == "fail":
            raise ValueError("AccessDenied by the store")
        data: bytes = super().cat_file(path, start=start, end=end, **more)
        return data[:-1] + b"?" if fault == "lie" else data


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> str:
    fsspec.register_implementation("moody", Moody, clobber=True)
    monkeypatch.setattr(remote_files, "BLOCK", 4000)
    monkeypatch.setattr("resnetctl.system.download.CHUNK", 4000)
    Moody.faults.clear()
    with fsspec.open("moody://bucket/file.bin", "wb") as file:
        file.write(DATA)
    return "moody://bucket/file.bin"


def test_an_address_begins_with_a_scheme() -> None:
    assert [is_address(text) for text in ("https://a/b", "s3://a/b", "C:\\a", "a/b")] == [True, True, False, False]


def test_a_file_is_read_from_any_byte(url: str) -> None:
    with RemoteFile(url, 5000, timeout=5) as file:
        parts = list(iter(lambda: file.read1(1), b""))
    assert b"".join(parts) == DATA[5000:]
    assert max(map(len, parts)) == 4000
    assert (file.status, file.headers["Content-Range"]) == (206, f"bytes 5000-{len(DATA) - 1}/{len(DATA)}")
    assert read(url, limit=len(DATA)) == DATA


@pytest.mark.parametrize("faults", [[], ["", "fail"], ["", "stall"]])
def test_a_download_goes_on_after_a_failure_and_a_stall(url: str, tmp_path: Path, faults: list[str]) -> None:
    Moody.faults[:] = faults
    (tmp_path / "whole").write_bytes(DATA)
    remote = Remote(name="file.bin", urls=(url,), digest=digest_of(tmp_path / "whole", "sha256:"), limit=len(DATA))
    assert fetch(remote, tmp_path, patience=Patience(stall=0.2)).read_bytes() == DATA


def test_what_a_store_says_and_a_lie_are_one_error(url: str, tmp_path: Path) -> None:
    (tmp_path / "whole").write_bytes(DATA)
    remote = Remote(name="file.bin", urls=(url,), digest=digest_of(tmp_path / "whole", "sha256:"), limit=len(DATA))
    Moody.faults[:] = ["fail"] * 9
    with pytest.raises(DataError) as caught:
        fetch(remote, tmp_path)
    assert "ValueError: AccessDenied by the store" in caught.value.problems[0]
    Moody.faults[:] = ["lie"]
    with pytest.raises(DataError) as caught:
        fetch(remote, tmp_path)
    assert "published is sha256:" in caught.value.problems[0]
    with pytest.raises(DataError, match="cannot be downloaded: no such file"):
        read("moody://bucket/none", limit=9)
