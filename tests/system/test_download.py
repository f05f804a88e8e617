"""Downloads are verified, resume after a cut, try every address, and fail in time without a network."""

import contextlib
import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from resnetctl.errors import DataError, UsageError, WorkFailed
from resnetctl.hints import Call
from resnetctl.system import locks
from resnetctl.system.download import Patience, Remote, digest_of, fetch, listening, matches

BODY = bytes(range(256)) * 4096  # 1 MiB
SHA256 = "sha256:" + hashlib.sha256(BODY).hexdigest()
QUICK = Patience(stall=0.5, opening=1.0, fruitless=3.0, resumes=5)


@dataclass
class Site:
    """A server that answers every path with `body`, and can fail in several ways."""

    body: bytes = BODY
    ranges: bool = True
    lies_about_range: bool = False
    tells_length: bool = True
    cuts: list[int] = field(default_factory=list)  # bytes after which the next answers are cut
    delay: float = 0.0
    drips: bool = False  # sends a byte every 50 ms
    status: int = 200
    asked: list[str | None] = field(default_factory=list)  # the Range header of every request
    url: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        self.asked.append(asked)
        time.sleep(self.delay)
        begin = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.ranges else 0
        status = self.status if self.status != 200 else 206 if begin else 200
        if begin >= len(self.body) and begin:
            status = 416
        handler.send_response(status)
        payload = self.body[begin:] if status < 400 else b""
        if status == 206:
            shown = begin + 1 if self.lies_about_range else begin
            handler.send_header("Content-Range", f"bytes {shown}-{len(self.body) - 1}/{len(self.body)}")
        if self.tells_length:
            handler.send_header("Content-Length", str(len(payload)))
        handler.end_headers()
        for byte in payload if self.drips else b"":
            try:
                handler.wfile.write(bytes([byte]))
                time.sleep(0.05)
            except ConnectionError:
                return
        with contextlib.suppress(ConnectionError):  # the client may have closed the connection
            handler.wfile.write(payload[: self.cuts.pop(0)] if self.cuts and payload else payload)
        handler.close_connection = True


@contextlib.contextmanager
def serving(site: Site) -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.answer(self)

        def log_message(self, *args: object) -> None:
            """Keep the test output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}/file.bin"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site()) as site:
        yield site


@pytest.fixture
def dead_url() -> str:
    """An address without a server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/file.bin"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def remote(*urls: str, digest: str = SHA256, limit: int = 1 << 30) -> Remote:
    return Remote(name="file.bin", urls=urls, digest=digest, limit=limit)


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*") if not path.name.startswith("."))


def test_fetch_downloads_and_leaves_only_the_file(site: Site, folder: Path) -> None:
    path = fetch(remote(site.url), folder, patience=QUICK)
    assert path == folder / "file.bin"
    assert path.read_bytes() == BODY
    assert visible(folder) == ["file.bin"]
    assert site.asked == [None]


def test_the_second_call_sends_no_request(site: Site, folder: Path) -> None:
    fetch(remote(site.url), folder, patience=QUICK)
    fetch(remote(site.url), folder, patience=QUICK)
    assert len(site.asked) == 1


def test_a_damaged_file_in_the_cache_is_downloaded_again(site: Site, folder: Path) -> None:
    folder.mkdir()
    (folder / "file.bin").write_bytes(BODY[:-1] + b"?")
    assert fetch(remote(site.url), folder, patience=QUICK).read_bytes() == BODY


def test_md5_and_shortened_digests_are_accepted(site: Site, folder: Path) -> None:
    path = fetch(remote(site.url, digest="md5:" + hashlib.md5(BODY).hexdigest()), folder, patience=QUICK)
    assert digest_of(path, SHA256) == SHA256
    assert matches(path, SHA256[:15])
    assert not matches(path, "sha256:00000000")


@pytest.mark.parametrize("digest", ["", "md5:1234567", "sha1:12345678", "sha256:" + "0" * 65, "md5:" + "G" * 32])
def test_a_malformed_digest_is_refused(digest: str) -> None:
    with pytest.raises(ValueError, match="hex digits"):
        remote("http://x", digest=digest)


@pytest.mark.parametrize("tells_length", [True, False])
def test_listener_gets_progress_up_to_the_total(site: Site, folder: Path, tells_length: bool) -> None:
    site.tells_length = tells_length
    heard: list[tuple[int, int | None]] = []
    with listening(lambda done, total: heard.append((done, total))):
        fetch(remote(site.url), folder, patience=QUICK)
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)
    assert heard[-1] == (len(BODY), len(BODY) if tells_length else None)
    heard.clear()
    fetch(Remote(name="other.bin", urls=(site.url,), digest=SHA256), folder, patience=QUICK)
    assert heard == []


def test_a_lost_connection_is_resumed_in_the_same_call(site: Site, folder: Path) -> None:
    site.cuts = [1000, 2000]
    assert fetch(remote(site.url), folder, patience=QUICK).read_bytes() == BODY
    assert site.asked == [None, "bytes=1000-", "bytes=3000-"]


def test_a_later_call_resumes_an_interrupted_download(site: Site, folder: Path) -> None:
    folder.mkdir()
    (folder / "file.bin.part").write_bytes(BODY[:5000])
    heard: list[int] = []
    with listening(lambda done, total: heard.append(done)):
        fetch(remote(site.url), folder, patience=QUICK)
    assert site.asked == ["bytes=5000-"]
    assert heard[0] > 5000
    assert heard[-1] == len(BODY)


def test_a_complete_part_is_only_verified(site: Site, folder: Path) -> None:
    folder.mkdir()
    (folder / "file.bin.part").write_bytes(BODY)
    assert fetch(remote(site.url), folder, patience=QUICK).read_bytes() == BODY
    assert visible(folder) == ["file.bin"]


@pytest.mark.parametrize("left", [b"not these bytes", BODY[:-1] + b"??"])
def test_wrong_bytes_of_an_earlier_call_are_discarded(site: Site, folder: Path, left: bytes) -> None:
    folder.mkdir()
    (folder / "file.bin.part").write_bytes(left)
    assert fetch(remote(site.url), folder, patience=QUICK).read_bytes() == BODY
    assert site.asked == [f"bytes={len(left)}-", None]


def test_a_server_without_ranges_starts_over(site: Site, folder: Path) -> None:
    site.ranges = False
    site.cuts = [7000]
    assert fetch(remote(site.url), folder, patience=QUICK).read_bytes() == BODY
    assert site.asked == [None, "bytes=7000-"]


def test_a_server_that_sends_another_range_fails(site: Site, folder: Path) -> None:
    site.cuts = [7000]
    site.lies_about_range = True
    with pytest.raises(DataError) as raised:
        fetch(remote(site.url), folder, patience=QUICK)
    assert any("another range" in problem for problem in raised.value.problems)


def test_a_server_that_always_disconnects_fails(site: Site, folder: Path) -> None:
    site.cuts = [10] * 50
    with pytest.raises(DataError) as raised:
        fetch(remote(site.url), folder, patience=QUICK)
    assert len(site.asked) == QUICK.resumes + 1
    assert "cut at 10 of 1,048,576 bytes" in raised.value.problems[0]


def test_a_wrong_digest_names_both_digests_and_leaves_nothing(site: Site, folder: Path) -> None:
    site.body = b"something else"
    with pytest.raises(DataError) as raised:
        fetch(remote(site.url), folder, hint=[Call("data get", ("x",), {"from": "PATH"})], patience=QUICK)
    got = "sha256:" + hashlib.sha256(site.body).hexdigest()
    assert len(raised.value.problems) == 1
    assert got in raised.value.problems[0]
    assert SHA256 in raised.value.problems[0]
    assert raised.value.hint == (Call("data get", ("x",), {"from": "PATH"}),)
    assert raised.value.exit_code == 3
    assert visible(folder) == []
    assert len(site.asked) == 1


@pytest.mark.parametrize("broken", [{"status": 404}, {"body": b"wrong"}, {"cuts": [0] * 9}, {"delay": 2.0}])
def test_the_next_address_is_tried_after_a_failure(site: Site, folder: Path, broken: dict[str, object]) -> None:
    with serving(Site(**broken)) as first:  # type: ignore[arg-type]
        path = fetch(remote(first.url, site.url), folder, patience=QUICK)
    assert path.read_bytes() == BODY
    assert len(first.asked) == 1


def test_every_address_is_listed_when_all_fail(site: Site, dead_url: str, folder: Path) -> None:
    site.status = 503
    with pytest.raises(DataError) as raised:
        fetch(remote(site.url, dead_url), folder, patience=QUICK)
    refused, absent = raised.value.problems
    assert refused == f"{site.url}: HTTP 503 Service Unavailable"
    assert absent.startswith(f"{dead_url}: ")
    assert "refused" in absent


def test_without_a_network_it_fails_at_once_and_writes_nothing(dead_url: str, folder: Path) -> None:
    started = time.monotonic()
    with pytest.raises(DataError):
        fetch(remote(*[dead_url] * 3), folder)
    assert time.monotonic() - started < 5
    assert not folder.exists()


def test_a_network_without_answers_fails_in_time(folder: Path) -> None:
    patience = Patience(stall=0.2, opening=0.3, fruitless=0.7)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts connections and never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        started = time.monotonic()
        with pytest.raises(DataError) as raised:
            fetch(remote(*[url] * 50), folder, patience=patience)
    assert time.monotonic() - started < 3
    assert len(raised.value.problems) < 10


def test_hanging_name_resolution_fails_in_time(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    hang = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: hang.wait(20) and [])
    with pytest.raises(DataError) as raised:
        fetch(remote("http://nowhere.invalid/x"), folder, patience=Patience(stall=0.1, opening=0.3, fruitless=1))
    hang.set()
    assert raised.value.problems == ("http://nowhere.invalid/x: no answer within 0.3 s",)


def test_the_default_time_limits_stay_below_thirty_seconds() -> None:
    patience = Patience()
    assert patience.stall == 5
    assert patience.fruitless + patience.opening + patience.stall < 30


def test_more_bytes_than_published_are_refused(site: Site, folder: Path) -> None:
    with pytest.raises(DataError) as raised:
        fetch(remote(site.url, limit=1000), folder, patience=QUICK)
    assert "more than 1,000 bytes" in raised.value.problems[0]
    assert sum(path.stat().st_size for path in folder.iterdir()) == 0


def test_a_second_process_cannot_download_the_same_file(site: Site, folder: Path) -> None:
    with locks.growing_file(folder / "file.bin.part", owner="x"), pytest.raises(UsageError, match="in use"):
        fetch(remote(site.url), folder, patience=QUICK)
    assert fetch(remote(site.url), folder, patience=QUICK).read_bytes() == BODY


def test_a_folder_that_cannot_be_written_is_an_error(site: Site, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(UsageError):
        fetch(remote(site.url), tmp_path / "cache" / "deep", patience=QUICK)


def test_a_disk_error_is_not_reported_as_a_network_error(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WorkFailed, match="No space left"):
        fetch(remote(site.url), folder, patience=QUICK)
    assert visible(folder) == ["file.bin.part"]


def test_a_server_that_drips_is_given_up(site: Site, tmp_path: Path) -> None:
    """Every byte comes in time, so no other limit ends the download."""
    site.drips = True
    patience = Patience(stall=0.5, opening=1.0, fruitless=3.0, window=0.5, least=1000)
    started = time.monotonic()
    with pytest.raises(DataError) as caught:
        fetch(Remote(name="file.bin", digest=SHA256, urls=(site.url,)), tmp_path, patience=patience)
    assert "too slow" in caught.value.problems[0]
    assert time.monotonic() - started < 20
