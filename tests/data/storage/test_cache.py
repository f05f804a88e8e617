"""Shards that stay on a server: fetched when they are read, whatever the server does, within the size of the cache."""

import functools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.publishing import SHARD, SHARD_BYTES, Faults, Handler, published, small_shards
from support.toy_dataset import done

from resnetctl.data.storage import cache
from resnetctl.data.storage.rows import FileImages
from resnetctl.data.store import open_store
from resnetctl.errors import DataError
from resnetctl.system import download, settings
from resnetctl.tasks.data.get import get


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_shards(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    monkeypatch.setattr(Handler, "faults", Faults())
    patience = functools.partial(download.Patience, stall=0.3, opening=2.0, fruitless=1.0)
    monkeypatch.setattr(download, "Patience", patience)
    monkeypatch.setattr(cache, "PAUSES", (0.01, 0.01, 0.01))
    return Handler.faults


@pytest.fixture
def server(shop: Path, faults: Faults) -> Iterator[str]:
    with published(shop) as address:
        yield address


@pytest.fixture
def images(server: str, faults: Faults) -> FileImages:
    """The train images of a remote store."""
    done(get(f"{server}/files", settings.load(), remote=True))
    opened = open_store(settings.load().data_dir, "files").split("train").images
    assert isinstance(opened, FileImages)
    faults.asked.clear()
    return opened


@pytest.fixture
def pixels(shop: Path) -> np.ndarray:
    return open_store(shop, "files").split("train").images[:]


def kept() -> list[str]:
    """Return the shards in the cache."""
    return sorted(path.name for path in (settings.load().data_dir / "files" / "cache").glob("*.bin"))


def allow(monkeypatch: pytest.MonkeyPatch, shards: float) -> None:
    """Give the cache room for some shards of 3 KB."""
    monkeypatch.setenv("RESNETCTL_CACHE_GB", str(shards * SHARD_BYTES / cache.GB))
    settings.load.cache_clear()


def test_a_shard_is_fetched_when_a_row_of_it_is_read_and_only_once(
    images: FileImages, pixels: np.ndarray, faults: Faults
) -> None:
    assert kept() == []
    assert np.array_equal(images[[0]], pixels[[0]])
    assert kept() == faults.asked == [SHARD]
    assert np.array_equal(images[[0, 1]], pixels[[0, 1]])
    again = open_store(settings.load().data_dir, "files").split("train").images
    assert np.array_equal(again[:], pixels)
    assert len(images.shard_sizes) > 3
    assert sorted(faults.asked) == kept() == [f"train-{number:05d}.bin" for number in range(len(images.shard_sizes))]


@pytest.mark.parametrize("how", ["refuse", "stall", "cut", "lie", "ignore"])
def test_what_a_server_spoils_once_is_fetched_again(
    images: FileImages, pixels: np.ndarray, faults: Faults, how: str
) -> None:
    faults.how = how
    assert np.array_equal(images[:], pixels)
    assert len(faults.ranges) == 2


@pytest.mark.parametrize(
    ("how", "reason"), [("refuse", "HTTP 503"), ("lie", "sha256 is sha256:"), ("cut", "the connection was cut")]
)
def test_a_server_that_fails_or_lies_each_time_is_one_error_with_shard_and_address(
    images: FileImages, pixels: np.ndarray, server: str, faults: Faults, how: str, reason: str
) -> None:
    faults.how, faults.times, faults.name = how, 99, "train-00001.bin"
    row = int(np.flatnonzero(images.shards(np.arange(len(images))) == 1)[0])
    with pytest.raises(DataError, match=r"the shard train-00001.bin of dataset 'files' cannot be fetched") as caught:
        images[[row]]
    assert caught.value.exit_code == 3
    assert caught.value.where == f"{server}/files/train-00001.bin"
    assert reason in caught.value.problems[0]
    assert kept() == []
    faults.times = 0
    assert np.array_equal(images[:], pixels)


def test_a_damaged_shard_in_the_cache_is_fetched_again(images: FileImages, pixels: np.ndarray, faults: Faults) -> None:
    assert np.array_equal(images[:], pixels)
    path = settings.load().data_dir / "files" / "cache" / SHARD
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    again = open_store(settings.load().data_dir, "files").split("train").images
    assert np.array_equal(again[:], pixels)
    assert faults.asked.count(SHARD) == 2


@pytest.mark.parametrize("shards", [1, 2.5])
def test_the_cache_keeps_to_its_size_and_the_oldest_shard_leaves(
    images: FileImages, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch, shards: float
) -> None:
    allow(monkeypatch, shards)
    most, place = 0, settings.load().data_dir / "files" / "cache"
    for row in range(len(images)):
        assert np.array_equal(images[[row]], pixels[[row]])
        most = max(most, sum(path.stat().st_size for path in place.glob("*.bin")))
    assert SHARD_BYTES / 2 < most <= shards * SHARD_BYTES
    assert kept()[-1] == f"train-{len(images.shard_sizes) - 1:05d}.bin"
    assert SHARD not in kept()


def test_shards_are_fetched_ahead_in_the_order_of_the_reads_as_far_as_there_is_room(
    images: FileImages, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch, 3)
    rows = np.arange(len(images))[::-1]
    order = list(dict.fromkeys(images.shards(rows).tolist()))
    images.expect(rows)
    wait_for(lambda: len(faults.asked) == 3)
    time.sleep(0.1)  # nothing more comes before something is read
    assert faults.asked == [f"train-{number:05d}.bin" for number in order[:3]]
    for row in rows.tolist():
        images[[row]]
    assert faults.asked == [f"train-{number:05d}.bin" for number in order]


def test_fetching_ahead_ends_with_the_reader(images: FileImages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "LIFE", 0.01)
    allow(monkeypatch, 3)
    before = threading.active_count()
    images.expect(np.arange(len(images)))
    images.expect(np.arange(len(images))[::-1])  # another order: the first thread ends
    wait_for(lambda: len(kept()) == 3)
    wait_for(lambda: sum(thread.name == "shards" for thread in threading.enumerate()) == 1)
    images._files = None  # type: ignore[assignment]
    wait_for(lambda: threading.active_count() <= before + 1)


def test_a_failure_ahead_is_told_where_the_shard_is_read(images: FileImages, faults: Faults) -> None:
    faults.how, faults.times = "refuse", 4  # as often as one who reads asks
    images.expect(np.arange(len(images)))
    wait_for(lambda: bool(images._files._shards._failures))  # type: ignore[attr-defined]  # the attempt ahead ended
    assert faults.times == 0
    assert len(images[:]) == len(images)


def test_threads_that_wait_for_a_shard_share_its_failure(images: FileImages, faults: Faults) -> None:
    faults.how, faults.times = "refuse", 99
    shards = images._files._shards
    held, errors = shards._turns[0], []  # type: ignore[attr-defined]

    def read() -> None:
        with pytest.raises(DataError) as caught:
            shards.read(0, 1, place=0)
        errors.append(caught.value)

    threads = [threading.Thread(target=read) for _ in range(3)]
    with held:
        for thread in threads:
            thread.start()
        time.sleep(0.1)  # all of them wait
    for thread in threads:
        thread.join()
    assert len(errors) == 3
    assert len(set(map(id, errors))) == 1
    assert faults.times == 99 - 4


def test_processes_share_a_cache_and_fetch_each_shard_once(
    images: FileImages, pixels: np.ndarray, faults: Faults
) -> None:
    code = "import sys; from pathlib import Path; from resnetctl.data.store import open_store; "
    code += "print(open_store(Path(sys.argv[1]), 'files').split('train').images[:].sum())"
    command = [sys.executable, "-c", code, str(settings.load().data_dir)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ) for _ in range(2)]
    sums = [int(process.communicate(timeout=120)[0]) for process in processes]
    assert sums == [pixels.sum()] * 2
    assert sorted(faults.asked) == kept()


def test_two_readers_share_a_cache_that_holds_one_shard(
    images: FileImages, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each removes what the other one reads, and both read the right bytes."""
    allow(monkeypatch, 1)
    other = open_store(settings.load().data_dir, "files").split("train").images
    for row in range(len(images)):
        back = len(images) - 1 - row
        assert np.array_equal(images[[row]], pixels[[row]])
        assert np.array_equal(other[[back]], pixels[[back]])
    assert len(kept()) == 1


def test_the_size_of_the_cache_is_a_setting_or_half_of_the_disk(
    images: FileImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch, 4)
    assert images.cache_bytes() == 4 * SHARD_BYTES
    allow(monkeypatch, 0)
    monkeypatch.setattr(cache.storage, "free_space", lambda folder: 10_000)
    assert images.cache_bytes() == 5_000
    images[[0]]
    assert images.cache_bytes() == 5_000 + (settings.load().data_dir / "files" / "cache" / SHARD).stat().st_size / 2


def wait_for(is_so: object) -> None:
    """Wait until something is so; fail after ten seconds."""
    deadline = time.monotonic() + 10
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)
