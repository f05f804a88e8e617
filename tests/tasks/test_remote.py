"""Training on shards that stay on a server: the bytes of a run on local ones, also after kills and failures."""

import functools
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.publishing import SHARD_BYTES, Faults, Handler, published, small_shards
from support.tiny_runs import files, notice_texts, request, run
from support.toy_dataset import done

from resnetctl import runs
from resnetctl.data.storage import cache
from resnetctl.errors import ConfigError, DataError
from resnetctl.system import download, settings
from resnetctl.tasks.data.get import get
from resnetctl.tasks.resume import resume
from resnetctl.tasks.train import train

SETS = ("data=files", "batch_size=4", "epochs=2", "val_fraction=0.2", "augment=standard", "shuffle_window=1")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_shards(tmp_path_factory.mktemp("shop"))


@pytest.fixture(autouse=True)
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    monkeypatch.setattr(Handler, "faults", Faults())
    monkeypatch.setattr(download, "Patience", functools.partial(download.Patience, stall=0.3, fruitless=1.0))
    monkeypatch.setattr(cache, "PAUSES", (0.01, 0.01, 0.01))
    monkeypatch.setattr("resnetctl.training.recorder.CHECKPOINT_SECONDS", -1.0)
    return Handler.faults


@pytest.fixture
def remote(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the store, after a fetch of all but its shards, with a cache of three shards."""
    monkeypatch.setenv("RESNETCTL_CACHE_GB", str(3 * SHARD_BYTES / cache.GB))
    settings.load.cache_clear()
    with published(shop) as address:
        done(get(f"{address}/files", settings.load(), remote=True))
        yield address


@pytest.fixture(scope="module")
def local(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """The files of a run on the shards of this disk, in the same order of images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESNETCTL_DATA_DIR", str(shop))
        patch.setenv("RESNETCTL_RUNS_DIR", str(tmp_path_factory.mktemp("runs")))
        settings.load.cache_clear()
        whole = files(run(*SETS, "sampler=windowed", name="local"))
    settings.load.cache_clear()
    return whole


def cut_off(after: int) -> runs.RunDir:
    """Return a run that was closed after some facts."""
    facts = train(request(*SETS, name="cut"), settings.load())
    list(itertools.islice(facts, after))
    facts.close()  # type: ignore[attr-defined]
    return runs.find("cut", Path("runs"))


@pytest.mark.usefixtures("remote")
def test_a_run_on_remote_shards_has_the_bytes_of_a_local_one_and_resumes_within_an_epoch(
    local: tuple[bytes, bytes], faults: Faults
) -> None:
    assert files(run(*SETS, name="whole")) == local
    cut = cut_off(10)
    assert int(cut.checkpoints.paths()[0].stem[5:]) % 4 in (1, 2, 3), "of four steps"
    shutil.rmtree(settings.load().data_dir / "files" / "cache")
    faults.asked.clear()
    list(resume("cut", settings=settings.load()))
    assert files(cut) == local
    assert (cut.read_config().sampler, cut.sources()["sampler"]) == ("windowed", "dataset files")


def test_a_run_stops_with_one_error_when_the_server_fails_and_goes_on_when_it_is_back(
    remote: str, local: tuple[bytes, bytes], faults: Faults
) -> None:
    faults.name, faults.how, faults.times = "train-00002.bin", "refuse", 10**9
    with pytest.raises(DataError, match=r"the shard train-00002.bin of dataset 'files' cannot be fetched") as caught:
        run(*SETS, name="cut")
    assert (caught.value.exit_code, caught.value.where) == (3, f"{remote}/files/train-00002.bin")
    faults.times = 0
    list(resume("cut", settings=settings.load()))
    assert files(runs.find("cut", Path("runs"))) == local


@pytest.mark.usefixtures("remote")
def test_a_run_that_is_killed_while_a_shard_comes_ends_with_the_same_bytes(
    local: tuple[bytes, bytes], faults: Faults
) -> None:
    """The cache has room for half of the shards, so the second epoch fetches some again, and each of them stalls."""
    faults.name, faults.how, faults.times = "train-*.bin", "stall", 10**9
    faults.when = lambda: bool(list(Path("runs/cut").glob("checkpoints/*")))
    sets = [part for value in (*SETS, "model.arch=resnet20") for part in ("--set", value)]
    command = [sys.executable, "-m", "resnetctl", "train", *sets, "--name", "cut"]
    process = subprocess.Popen(command, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not faults.ranges:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    faults.times = 0
    list(resume("cut", settings=settings.load()))
    assert files(runs.find("cut", Path("runs"))) == local


@pytest.mark.usefixtures("remote")
def test_two_runs_at_a_time_share_a_cache(local: tuple[bytes, bytes]) -> None:
    place = settings.load().data_dir / "files" / "cache"
    running = [train(request(*SETS, name=name), settings.load()) for name in ("a", "b")]
    for _ in zip(*running, strict=True):
        assert sum(path.stat().st_size for path in place.glob("*.bin")) <= 3 * SHARD_BYTES
    assert [files(runs.find(name, Path("runs"))) for name in ("a", "b")] == [local, local]


@pytest.mark.usefixtures("remote")
def test_an_order_that_the_cache_cannot_hold_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"sampler shuffle reads .* GB of shards at a time"):
        run(*SETS, "sampler=shuffle")


@pytest.mark.usefixtures("remote")
def test_shards_of_few_classes_get_a_notice() -> None:
    facts = train(request(*SETS, dry_run=True, name=None), settings.load())
    assert "of 2 classes on average" in notice_texts(facts)
