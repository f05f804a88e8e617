"""The rules of a tracker."""

import inspect
import random
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from resnetctl.spec import Ending, TrackedRun
from resnetctl.testing.findings import Rule, expect

CONFIG = {
    "data": "digits",
    "optim.name": "sgd",
    "optim.lr": 0.1,
    "seed": 0,
    "augment_args.mirror": True,
    "progressive.size_increment": 4,
}
NUMBERS = {"step": 12.0, "lr": 0.1, "train_loss": 1.25, "val_top1": 0.5, "seconds": 2.0, "images_per_second": 900.0}


def signature(tracker: Any) -> str:
    """`start(run)` returns an object with `epoch(number, numbers)` and `close(ending)`."""
    inspect.signature(tracker.start).bind(None)
    with _offline(), _run() as run:
        tracking = tracker.start(run)
        missing = [name for name in ("epoch", "close") if not callable(getattr(tracking, name, None))]
        expect(not missing, f"what start returns lacks {' and '.join(missing)}")
        inspect.signature(tracking.epoch).bind(1, NUMBERS)
        tracking.close("stopped")
    return "start, epoch, close"


def writes(tracker: Any) -> str:
    """A run of two epochs leaves files, the numbers of each epoch add to them, and no network is used."""
    with _offline(), _run() as run:
        sizes = [_size(run) for _ in _epochs(tracker, run, numbers=(1, 2), ending="finished")]
        expect(sizes[-1] > 0, "it writes no file below the folder of the runs")
        expect(sizes[0] < sizes[1], "an epoch adds nothing: a killed run would have lost it")
    return f"{sizes[-1]:,} bytes"


def resumes(tracker: Any) -> str:
    """A run that stopped goes on in the files that it has, also when it repeats an epoch."""
    with _offline(), _run() as run:
        before = [_size(run) for _ in _epochs(tracker, run, numbers=(1, 2), ending="stopped")][-1]
        again = TrackedRun(path=run.path, folder=run.folder, config=run.config, epoch=1)
        after = [_size(run) for _ in _epochs(tracker, again, numbers=(2, 3), ending="finished")][-1]
        expect(after > before, "the resumed epochs are not written")
    return f"{before:,} bytes, then {after:,}"


def leaves_randomness(tracker: Any) -> str:
    """It draws no random number from generators that a training may use."""
    with _offline(), _run() as run:
        before = torch.random.get_rng_state(), random.getstate()
        [*_epochs(tracker, run, numbers=(1,), ending="failed")]
        expect(torch.equal(before[0], torch.random.get_rng_state()), "torch's generator has moved")
        expect(before[1] == random.getstate(), "Python's generator has moved")
    return "untouched"


def _epochs(tracker: Any, run: TrackedRun, *, numbers: tuple[int, ...], ending: Ending) -> Iterator[None]:
    """Track a run; yield after each epoch and at the end."""
    tracking = tracker.start(run)
    for number in numbers:
        tracking.epoch(number, NUMBERS)
        yield
    tracking.close(ending)
    yield


@contextmanager
def _run() -> Iterator[TrackedRun]:
    with tempfile.TemporaryDirectory() as runs:
        path = Path(runs, "runs", "one")
        folder = path / "trackers" / "name"
        folder.mkdir(parents=True)
        yield TrackedRun(path=path, folder=folder, config=CONFIG)


@contextmanager
def _offline() -> Iterator[None]:
    refused = mock.Mock(side_effect=OSError("a tracker writes files only, and this one opens a connection"))
    with mock.patch.object(socket.socket, "connect", refused), mock.patch.object(socket.socket, "connect_ex", refused):
        yield


def _size(run: TrackedRun) -> int:
    return sum(path.stat().st_size for path in run.path.parent.rglob("*") if path.is_file())


RULES = {
    "signature": Rule(
        wants="start, which returns an object with epoch and close",
        judge=signature,
        fix="def start(self, run: TrackedRun) -> Tracking, with epoch(self, number, numbers) and close(self, ending)",
    ),
    "files": Rule(
        wants="files that grow with each epoch, and no network",
        judge=writes,
        fix="write into run.folder, or beside run.path, and flush after each epoch; open no connection",
    ),
    "resume": Rule(
        wants="a stopped run that goes on in its files",
        judge=resumes,
        fix="open the earlier files in run.folder; remove the epochs after run.epoch, which are trained again",
    ),
    "randomness": Rule(
        wants="generators of random numbers that stay where they are",
        judge=leaves_randomness,
        fix="draw names with uuid or secrets, not with torch or random",
    ),
}
