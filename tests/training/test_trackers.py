"""Trackers get the numbers of every epoch, and nothing that they do changes or ends a run."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.datasets import tiny
from support.jobs import to_train

from resnetctl import registry, runs
from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.errors import UsageError
from resnetctl.facts import Finished, Notice
from resnetctl.spec import TrackedRun
from resnetctl.system import settings
from resnetctl.tasks.resume import resume
from resnetctl.tasks.train import train


class Remembering:
    """A tracker that keeps what it is told, and fails where `fails` says."""

    name, summary = "memory", "what it was told"

    def __init__(self, fails: str = "") -> None:
        self.fails, self.told, self.run = fails, [], None

    def start(self, run: TrackedRun) -> Any:
        self.run = run
        self._tell("start", run.epoch)
        return self

    def epoch(self, number: int, numbers: Mapping[str, float]) -> None:
        self._tell("epoch", number, dict(numbers))

    def close(self, ending: str) -> None:
        self._tell("close", ending)

    def _tell(self, what: str, *values: Any) -> None:
        if what == self.fails:
            raise SystemExit("no space left\non the device")
        self.told.append((what, *values))


@pytest.fixture
def data(machine: Path) -> None:
    tiny(settings.load().data_dir)


def facts(tracker: Any, *, name: str = "one") -> Iterator[object]:
    with registry.overlay("tracker", memory=tracker):
        draft = to_train(from_sets(["data=tiny", "epochs=2"]), name=name, track=("memory",))
        yield from train(draft, settings.load())


def plain() -> runs.RunDir:
    list(train(to_train(from_sets(["data=tiny", "epochs=2"]), name="plain"), settings.load()))
    return runs.find("plain", Path("runs"))


def test_a_tracker_is_told_of_the_config_every_epoch_and_the_end(data: None) -> None:
    tracker = Remembering()
    seen = list(facts(tracker))
    assert isinstance(seen[-1], Finished)
    run = runs.find("one", Path("runs"))
    assert [line[:2] for line in tracker.told] == [("start", 0), ("epoch", 1), ("epoch", 2), ("close", "finished")]
    numbers, line = tracker.told[2][2], run.metrics()[1]
    assert {name: numbers[name] for name in ("step", "lr", "train_loss", "val_top1")} == {
        name: line[name] for name in ("step", "lr", "train_loss", "val_top1")
    }
    assert numbers["images_per_second"] == run.timings()[1]["images_per_second"]
    assert tracker.run is not None
    assert (tracker.run.config["data"], tracker.run.config["epochs"]) == ("tiny", 2)
    assert tracker.run.folder.parent.parent == run.path


@pytest.mark.parametrize("fails", ["", "start", "epoch", "close"])
def test_a_run_has_the_same_bytes_with_a_tracker_that_fails_and_without_one(data: None, fails: str) -> None:
    seen = list(facts(Remembering(fails)))
    notices = [fact.text for fact in seen if isinstance(fact, Notice) and "tracker" in fact.text]
    wanted = ["the tracker 'memory' fails and is left out, the run goes on: no space left"] if fails else []
    assert notices == wanted, "one notice"
    one, other = runs.find("one", Path("runs")), plain()
    assert one.weights.read_bytes() == other.weights.read_bytes()
    assert one.metrics() == other.metrics()
    assert one.config.read_bytes() == other.config.read_bytes()


def test_a_resumed_run_goes_on_with_its_trackers(data: None) -> None:
    first, second = Remembering(), Remembering()
    cut = facts(first)
    taken = list(itertools.takewhile(lambda _: len(first.told) < 2, cut))
    assert taken
    cut.close()  # type: ignore[attr-defined]
    assert first.told[-1] == ("close", "stopped")
    with registry.overlay("tracker", memory=second):
        list(resume("one", settings=settings.load()))
    assert [line[:2] for line in second.told] == [("start", 1), ("epoch", 2), ("close", "finished")]


def test_an_unknown_tracker_is_told_before_any_work(data: None) -> None:
    with pytest.raises(UsageError, match="no tracker is called 'nothing'"):
        to_train(from_sets(["data=tiny"]), track=("nothing",))
    assert not Path("runs").exists()


def test_a_tracker_that_is_gone_when_a_run_resumes_is_one_notice(data: None) -> None:
    cut = facts(Remembering())
    list(itertools.islice(cut, 5))
    cut.close()  # type: ignore[attr-defined]
    seen = list(resume("one", settings=settings.load()))
    assert isinstance(seen[-1], Finished)
    texts = [fact.text for fact in seen if isinstance(fact, Notice) and "tracker" in fact.text]
    assert len(texts) == 1
    assert "no tracker is called 'memory'" in texts[0]
