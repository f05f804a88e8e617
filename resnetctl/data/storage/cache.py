"""The shards of a split that stays on a server: fetched when they are first read, verified, and kept in a cache.

::

    DATA/<name>/cache/train-00003.bin    a shard whose SHA-256 is that of the index

Processes share the cache: one fetches a shard, the others wait for it. Its size is bounded: to make room, the shard
that was opened longest ago leaves, and a process that still reads it keeps its open file. A thread fetches ahead in the
order of the reads, as far as the cache has room besides the shards that are still needed.
"""

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from resnetctl.data.storage.shards import read_at, shard_path
from resnetctl.errors import DataError, ResnetctlError
from resnetctl.hints import Call
from resnetctl.system import locks, settings, storage
from resnetctl.system.download import Remote, fetch

CACHE = "cache"  # folder in that of a dataset
SHARE = 0.5  # of the free disk that a cache may take, unless RESNETCTL_CACHE_GB says more or less
PAUSES = (1.0, 3.0, 9.0)  # seconds before a shard is asked for again, whatever the server did
PATIENCE = 3600.0  # seconds: another process fetches the same shard
LIFE = 1.0  # seconds after which the fetching thread looks whether anybody still wants it
GB = 10**9
KEPT = "shards that arrived are kept"


class _Shard:
    """A shard of the cache. Its file is closed when nobody uses it, also after it has left the cache."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: BinaryIO = path.open("rb")
        weakref.finalize(self, self.file.close)


@dataclass(kw_only=True)
class _Route:
    """The order in which shards will be read.

    Attributes:
        turns: the place of each shard in that order.
        ahead: how many shards may be fetched before the first one of them is read.
        reached: the last place that was read.
    """

    turns: dict[int, int]
    ahead: int
    reached: int = 0
    news: threading.Condition = field(default_factory=threading.Condition)

    def note(self, number: int) -> None:
        """Remember that a shard is being read."""
        if self.turns.get(number, -1) > self.reached:
            with self.news:
                self.reached = self.turns[number]
                self.news.notify_all()


class CachedShards:
    """The shards of a split at an address. Threads and processes may share them."""

    def __init__(self, index: Path, url: str, *, sizes: Sequence[int], digests: Sequence[str]) -> None:
        """Fetch nothing yet. `digests` are the SHA-256 of the shards. Raises `ValueError` when some are missing."""
        if len(sizes) != len(digests) or not all(len(digest) == 64 for digest in digests):
            raise ValueError(f"it has {len(sizes)} shards, and {len(digests)} digests of shards")
        self._name, self._folder = index.parent.name, index.parent / CACHE
        self._remotes = [
            Remote(name=path.name, urls=(f"{url}/{path.name}",), digest=f"sha256:{digest}", limit=size)
            for path, size, digest in zip(
                (shard_path(index, number) for number in range(len(sizes))), sizes, digests, strict=True
            )
        ]
        self._largest = max(sizes)
        self._open: dict[int, _Shard] = {}  # in the order of opening
        self._turns = [threading.Lock() for _ in sizes]  # of threads that want the same shard
        self._failures: dict[int, tuple[float, ResnetctlError]] = {}  # when a shard failed last, and how
        self._route = _Route(turns={}, ahead=0)

    def read(self, number: int, count: int, *, place: int) -> bytes:
        """Return bytes of a shard, which is fetched first if need be.

        Raises `DataError` naming shard and address when it cannot be fetched or verified, `WorkFailed` as `fetch`.
        """
        self._route.note(number)
        shard = self._open.get(number) or self.fetched(number)
        return read_at(shard.file, shard.path, count=count, place=place)

    def expect(self, numbers: NDArray[np.int64]) -> None:
        """Fetch the shards of these reads ahead, in a thread, as far as the cache has room."""
        shards, first = np.unique(numbers, return_index=True)
        last = len(numbers) - 1 - np.unique(numbers[::-1], return_index=True)[1]
        order = np.argsort(first)
        room = int(cache_bytes(self._folder) // self._largest) - _most_at_once(first, last)
        self._route = _Route(turns={number: turn for turn, number in enumerate(shards[order].tolist())}, ahead=room)
        if room > 0 and len(shards) > 1:
            work = weakref.ref(self), self._route
            threading.Thread(target=_fetch_ahead, args=work, name="shards", daemon=True).start()

    def cache_bytes(self) -> float:
        """Return how many bytes of shards may be here at a time."""
        return cache_bytes(self._folder)

    def is_on(self, route: _Route) -> bool:
        """Return whether the reads still follow this route."""
        return self._route is route

    def fetched(self, number: int) -> _Shard:
        """Return an open shard, verified before it was opened. Raises as `read`; threads that waited get one error."""
        asked = time.monotonic()
        with self._turns[number]:
            if number not in self._open:
                failed, failure = self._failures.get(number, (0.0, None))
                if failure is not None and failed > asked:
                    raise failure
                try:
                    self._open[number] = self._brought(self._remotes[number])
                except ResnetctlError as error:
                    self._failures[number] = time.monotonic(), error
                    raise
                most = max(1, int(cache_bytes(self._folder) // self._largest))
                for oldest in list(self._open)[:-most]:
                    self._open.pop(oldest, None)
            return self._open[number]

    def _brought(self, remote: Remote) -> _Shard:
        """Return a shard, opened in the cache. One process at a time fetches it."""
        storage.make_folder(self._folder)
        turn, failure = self._folder / f".{remote.name}.turn", DataError("")
        with locks.lock(turn, owner=f"the download of '{remote.name}'", wait=PATIENCE):
            for pause in (0.0, *PAUSES):
                time.sleep(pause)
                try:
                    self._make_room(remote)
                    path = fetch(remote, self._folder)
                    os.utime(path)
                    return _Shard(path)
                except DataError as error:
                    failure = error
                except FileNotFoundError:  # another process made room just now
                    continue
            self._unreserve(remote)
        raise DataError(
            f"the shard {remote.name} of dataset '{self._name}' cannot be fetched, after {len(PAUSES) + 1} attempts",
            where=remote.urls[0],
            problems=list(dict.fromkeys(failure.problems)),
            hint=[Call("train", settings={"resume": "RUN"}, note="goes on with a run"), KEPT],
        )

    def _unreserve(self, remote: Remote) -> None:
        part = self._folder / f"{remote.name}.part"
        if part.exists() and not part.stat().st_size:
            part.unlink()

    def _make_room(self, remote: Remote) -> None:
        """Remove the shards that were opened longest ago, until another one fits. A file reserves its place."""
        part = self._folder / f"{remote.name}.part"
        if (self._folder / remote.name).exists():
            return
        with locks.lock(self._folder / ".room", owner="the cache", wait=PATIENCE):
            room = cache_bytes(self._folder) - remote.limit
            room -= sum(self._largest for path in self._folder.glob("*.part") if path != part)
            kept = sorted(_stored(self._folder))
            total = sum(size for _, size, _ in kept)
            for _, size, path in kept:
                if total <= room:
                    break
                with contextlib.suppress(OSError):  # Windows keeps a file that somebody reads
                    path.unlink()
                    total -= size
            part.touch()


def cache_bytes(folder: Path) -> float:
    """Return the size that a cache may have: as the settings say, else a share of the disk without it."""
    chosen = settings.load().cache_gb
    if chosen:
        return chosen * GB
    return SHARE * (storage.free_space(folder) + sum(size for _, size, _ in _stored(folder)))


def _stored(folder: Path) -> Iterator[tuple[int, int, Path]]:
    """Yield when each shard of a cache was opened, its bytes, and its path."""
    for path in folder.glob("*.bin"):
        with contextlib.suppress(FileNotFoundError):  # another process made room
            status = path.stat()
            yield status.st_mtime_ns, status.st_size, path


def _most_at_once(first: NDArray[np.int64], last: NDArray[np.int64]) -> int:
    """Return how many shards are needed at the same time, from the first and the last read of each."""
    begun = np.searchsorted(np.sort(first), first, side="right")
    ended = np.searchsorted(np.sort(last), first, side="left")
    return int((begun - ended).max(initial=0))


def _fetch_ahead(shards: "weakref.ref[CachedShards]", route: _Route) -> None:
    """Fetch the shards of a route while somebody reads along it."""
    for number, turn in route.turns.items():
        while True:
            with route.news:
                is_due = route.news.wait_for(lambda turn=turn: turn <= route.reached + route.ahead, LIFE)  # type: ignore[misc]
            wanted = shards()
            if wanted is None or not wanted.is_on(route):
                return
            if is_due:
                break
        try:
            wanted.fetched(number)
        except ResnetctlError:
            return  # who reads the shard asks again, and gets the error
        del wanted
