"""Files at addresses that are not of the web, such as `s3://bucket/name`, read with the package fsspec.

torch brings fsspec. Stores need a package of their own (s3fs, gcsfs, ...), and fsspec says which one it misses.
"""

import re
import threading
from collections.abc import Callable
from typing import Any

BLOCK = 2**22  # bytes of a request
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://")
WEB = ("http://", "https://")


def is_address(text: str) -> bool:
    """Return whether a text is an address, such as `https://...` or `s3://...`, and no path."""
    return ADDRESS.match(text) is not None


class RemoteFile:
    """The bytes of a file from `begin` on. It has what `system.download` needs of a response of a web server."""

    def __init__(self, url: str, begin: int, *, timeout: float) -> None:
        """Ask for the size of the file. Raises `OSError` within `timeout` seconds, whatever the store raises."""
        self._timeout = timeout
        self._system, self._path = self._within(lambda: _opened(url))
        self._size = int(self._within(lambda: self._system.size(self._path)))
        self._place = begin
        self.status = 206 if begin else 200
        self.headers = {
            "Content-Length": str(max(0, self._size - begin)),
            "Content-Range": f"bytes {begin}-{self._size - 1}/{self._size}",
        }

    def __enter__(self) -> "RemoteFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Do nothing: between two reads nothing is open."""

    def read1(self, count: int) -> bytes:
        """Return the next bytes, b"" at the end. Raises `OSError` when they do not come within the timeout."""
        end = min(self._size, self._place + max(count, BLOCK))
        if self._place >= end:
            return b""
        data: bytes = self._within(lambda: self._system.cat_file(self._path, start=self._place, end=end))
        self._place += len(data)
        return data

    def _within(self, work: Callable[[], Any]) -> Any:
        """Return the result of `work`, which runs in a thread that is left behind when it takes too long."""
        outcome: list[Callable[[], Any]] = []

        def run() -> None:
            try:
                result = work()
                outcome.append(lambda: result)
            except Exception as error:  # each store has errors of its own
                reason = OSError(_said(error))
                outcome.append(lambda: _raise(reason))

        thread = threading.Thread(target=run, name="resnetctl-remote", daemon=True)
        thread.start()
        thread.join(self._timeout)
        if not outcome:
            raise TimeoutError(f"no answer within {self._timeout:g} s")
        return outcome[0]()


def _opened(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    system, path = url_to_fs(url, skip_instance_cache=True)
    return system, path


def _said(error: Exception) -> str:
    """Return what a store says. Many raise a missing file with its path as the only text."""
    if isinstance(error, FileNotFoundError) and "/" in str(error) and " " not in str(error):
        return "no such file"
    is_plain = isinstance(error, ImportError | OSError)
    return (getattr(error, "strerror", None) or str(error)) if is_plain else f"{type(error).__name__}: {error}"


def _raise(error: Exception) -> Any:
    raise error
