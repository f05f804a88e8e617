"""Downloads with digests, resuming and time limits. The web needs the standard library only.

`urllib` follows redirects and the proxy settings of the machine. This module adds resuming, digests, and a limit on the
time lost without a network. (The alternative, pooch, cannot resume.)

A digest is written `sha256:HEX` or `md5:HEX`. `HEX` may be only the first eight or more digits, because some publishers
give no more.
"""

import contextlib
import hashlib
import queue
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import NoReturn, TypeVar

from resnetctl.errors import DataError
from resnetctl.hints import Hint
from resnetctl.system import locks, storage
from resnetctl.system.remote_files import WEB, RemoteFile

Response = HTTPResponse | RemoteFile
Listener = Callable[[int, int | None], None]
Result = TypeVar("Result")

DIGEST = re.compile(r"sha256:[0-9a-f]{8,64}|md5:[0-9a-f]{8,32}")
CHUNK = 1 << 18  # bytes between two progress reports
_listener: ContextVar[Listener | None] = ContextVar("download_listener", default=None)


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A published file.

    Args:
        name: its file name in the cache.
        urls: addresses of the same bytes, preferred first.
        digest: the published digest.
        limit: the largest size to accept, in bytes.
    """

    name: str
    urls: tuple[str, ...]
    digest: str
    limit: int = 1 << 30

    def __post_init__(self) -> None:
        if not DIGEST.fullmatch(self.digest):
            raise ValueError(f"'{self.name}': '{self.digest}' is not sha256: or md5: and at least 8 of its hex digits")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Time limits in seconds. With the defaults, a download without a network fails within 30 seconds.

    Args:
        stall: longest time to connect, and longest wait for the next bytes.
        opening: longest time until the headers of a response, with name resolution and redirects.
        fruitless: longest time without a new byte; after it no further request is sent.
        resumes: the number of requests that may resume one file.
        window, least: give an address up when it sends fewer than `least` bytes in `window` seconds.
    """

    stall: float = 5.0
    opening: float = 8.0
    fruitless: float = 15.0
    resumes: int = 20
    window: float = 30.0
    least: int = 30_000


class _Failed(Exception):
    """One request failed. `is_final`: a second request to this address would fail too.

    It is not an `OSError`, because `locks.growing_file` reports an `OSError` as a disk error.
    """

    def __init__(self, reason: object, *, is_final: bool = False) -> None:
        text = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
        super().__init__(text or type(reason).__name__)
        self.is_final = is_final


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call `listener(done, total)`, in bytes, during every download inside `with`, in this context.

    `total` is None when the server does not send it. The `fetch` of a dataset plugin needs no code for progress.
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def fetch(remote: Remote, folder: Path, *, hint: Sequence[Hint] = (), patience: Patience | None = None) -> Path:
    """Return the path of the verified file: from an earlier download, or from the first address that has it.

    An interrupted download leaves `NAME.part`, which the next call resumes. Nothing is written before a server answers.

    Raises:
        DataError: no address has the published bytes; `problems` has a reason for each address.
        UsageError: another process downloads the same file, or `folder` cannot be written.
        WorkFailed: the disk is full.
    """
    path, part = folder / remote.name, folder / f"{remote.name}.part"
    if path.is_file():
        if matches(path, remote.digest):
            return path
        storage.remove(path)
    problems: list[str] = []
    for url in _delivering(remote, part, patience=patience or Patience(), problems=problems):
        if matches(part, remote.digest):
            storage.settle(part, path)
            return path
        problems.append(
            f"{url}: {_kind(remote.digest)} is {digest_of(part, remote.digest)}, published is {remote.digest}"
        )
        storage.remove(part)
    raise DataError(f"'{remote.name}' could not be downloaded", where=str(folder), hint=hint, problems=problems)


def read(url: str, *, limit: int, patience: Patience | None = None) -> bytes:
    """Return a document of at most `limit` bytes. Raises `DataError` when the server does not send it whole."""
    try:
        response = _open(url, 0, patience=patience or Patience())
        assert response is not None, "only a resumed request has nothing to send"
        data = bytearray()
        with response:
            for chunk in _fast_enough(_chunks(response), patience or Patience()):
                data += chunk
                if len(data) > limit:
                    raise _Failed(f"the server sends more than {limit:,} bytes")
    except _Failed as failure:
        raise DataError(f"cannot be downloaded: {failure}", where=url) from failure
    return bytes(data)


def watched(work: Callable[[], Result], name: str) -> Generator[tuple[int, int | None], None, Result]:
    """Run `work` in a thread: yield (bytes done, total bytes) of its downloads, then return its result.

    Its error is raised here.
    """
    facts: queue.SimpleQueue[tuple[int, int | None] | Callable[[], Result]] = queue.SimpleQueue()

    def run() -> None:
        try:
            with listening(lambda done, total: facts.put((done, total))):
                result = work()
            facts.put(lambda: result)
        except BaseException as error:
            failure = error
            facts.put(lambda: _raise(failure))

    threading.Thread(target=run, name=f"fetch {name}", daemon=True).start()
    while isinstance(fact := facts.get(), tuple):
        yield fact
    return fact()


def _raise(error: BaseException) -> NoReturn:
    raise error


def digest_of(path: Path, like: str) -> str:
    """Return the full digest of a file, `sha256:...` or `md5:...`, of the same kind as the digest `like`."""
    kind = _kind(like)
    with path.open("rb") as file:
        return f"{kind}:{hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()}"


def matches(path: Path, digest: str) -> bool:
    """Return whether the file has the published digest."""
    return digest_of(path, digest).startswith(digest)


def _kind(digest: str) -> str:
    return digest.partition(":")[0]


def _delivering(remote: Remote, part: Path, *, patience: Patience, problems: list[str]) -> Iterator[str]:
    """Yield an address whenever `part` is complete. The caller verifies `part` and asks for the next if it is wrong.

    If `part` is wrong and began in an earlier call, the same address gets a second request from byte 0.
    """
    last_byte = time.monotonic()
    for url in remote.urls:
        started_here, resumes = _size(part) == 0, 0
        while resumes <= patience.resumes and time.monotonic() - last_byte < patience.fruitless:
            before = _size(part)
            try:
                _transfer(url, part, remote=remote, patience=patience)
            except _Failed as failure:
                problems.append(f"{url}: {failure}")
                if failure.is_final or _size(part) <= before:
                    break
                last_byte, resumes = time.monotonic(), resumes + 1
                continue
            yield url
            last_byte = time.monotonic()
            if started_here:
                break
            started_here = True


def _transfer(url: str, part: Path, *, remote: Remote, patience: Patience) -> None:
    """Complete `part` with one request. Raises `_Failed`; the received bytes stay in `part`."""
    offset = _size(part)
    response = _open(url, offset, patience=patience)
    if response is None:
        return
    with response:
        begin = offset if _continues(response, offset) else 0
        length = response.headers.get("Content-Length")
        total = begin + int(length) if length and length.isdigit() else None
        with locks.growing_file(part, owner=f"the download of '{remote.name}'") as file:
            if file.tell() != offset:
                raise _Failed("another process writes to the same file", is_final=True)
            file.truncate(begin)
            done = begin
            for chunk in _fast_enough(_chunks(response), patience):
                done += len(chunk)
                if done > remote.limit:
                    file.truncate(0)
                    raise _Failed(f"the server sends more than {remote.limit:,} bytes", is_final=True)
                file.write(chunk)
                _report(done, total)
    if total is not None and done < total:
        raise _Failed(f"the connection was cut at {done:,} of {total:,} bytes")


def _continues(response: Response, offset: int) -> bool:
    """Return whether the body begins at `offset`; a server without ranges answers 200 and begins at 0."""
    if response.status != 206:
        return False
    if not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
        raise _Failed("the server sends another range than requested", is_final=True)
    return True


def _fast_enough(chunks: Iterator[bytes], patience: Patience) -> Iterator[bytes]:
    """Yield the chunks. Raises `_Failed` when a server drips: each byte comes in time, and the file never ends."""
    started, count = time.monotonic(), 0
    for chunk in chunks:
        yield chunk
        count += len(chunk)
        seconds = time.monotonic() - started
        if seconds >= patience.window:
            if count < patience.least:
                raise _Failed(f"the server is too slow: {count:,} bytes in {seconds:.0f} s", is_final=True)
            started, count = time.monotonic(), 0


def _chunks(response: Response) -> Iterator[bytes]:
    try:
        while chunk := response.read1(CHUNK):
            yield chunk
    except (OSError, HTTPException) as error:
        raise _Failed(error) from error


def _open(url: str, offset: int, *, patience: Patience) -> Response | None:
    """Send one request; return None if no bytes follow `offset`. Raises `_Failed` after `patience.opening` seconds.

    The request runs in a thread, because no timeout covers name resolution or a list of dead addresses.
    """
    outcome: list[Response | Exception | None] = []

    def ask() -> None:
        try:
            outcome.append(_request(url, offset, timeout=patience.stall))
        except Exception as error:  # re-raised by the waiting thread
            outcome.append(error)

    thread = threading.Thread(target=ask, name="resnetctl-download", daemon=True)
    thread.start()
    thread.join(patience.opening)
    result = outcome[0] if outcome else TimeoutError(f"no answer within {patience.opening:g} s")
    if isinstance(result, urllib.error.HTTPError):
        result.close()
        raise _Failed(f"HTTP {result.code} {result.reason}", is_final=True) from result
    if isinstance(result, Exception):
        raise _Failed(getattr(result, "reason", result)) from result
    return result


def _request(url: str, offset: int, *, timeout: float) -> Response | None:
    if not url.startswith(WEB):
        return RemoteFile(url, offset, timeout=timeout)
    headers = {"User-Agent": "resnetctl"} | ({"Range": f"bytes={offset}-"} if offset else {})
    try:
        response: HTTPResponse = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416 and offset:  # the file is complete or wrong; its digest decides
            error.close()
            return None
        raise
    return response


def _report(done: int, total: int | None) -> None:
    listener = _listener.get()
    if listener is not None:
        listener(done, total)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
