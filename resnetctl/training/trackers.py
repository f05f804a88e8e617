"""Offer the facts of a run to trackers, which write them for other programs.

A tracker is a stranger here: whatever it raises becomes one notice, and the run goes on without it.
"""

from collections.abc import Callable, Iterator, Sequence

from resnetctl import registry
from resnetctl.config.layers import flatten
from resnetctl.config.schema import TrainConfig
from resnetctl.engine.loop import StepResult
from resnetctl.errors import Stopped
from resnetctl.facts import EpochTimed, Notice, TrainFact
from resnetctl.runs import RunDir
from resnetctl.runs.trackers import folder_for
from resnetctl.spec import Ending, TrackedRun, Tracking
from resnetctl.training.recorder import metrics_line

Facts = Iterator[TrainFact | StepResult]


def tracked(facts: Facts, names: Sequence[str], *, run: RunDir | None, config: TrainConfig, epoch: int = 0) -> Facts:
    """Return all facts; while they are taken, the trackers are told of each epoch.

    Args:
        run: the run's folder; None in a process that writes nothing, which tracks nothing.
        epoch: finished epochs.
    """
    if run is None or not names:
        return facts
    return _tracked(facts, names, run=run, config=config, epoch=epoch)


def _tracked(facts: Facts, names: Sequence[str], *, run: RunDir, config: TrainConfig, epoch: int) -> Facts:
    open_ones: dict[str, Tracking] = {}
    for name in names:
        yield from _tried(name, lambda: open_ones.update({name: _start(name, run, config, epoch=epoch)}))  # noqa: B023
    ending: Ending = "failed"
    try:
        for fact in facts:
            yield fact
            if isinstance(fact, EpochTimed):
                yield from _offer(open_ones, fact)
        ending = "finished"
    except (Stopped, GeneratorExit):
        ending = "stopped"
        raise
    finally:
        problems = [notice for one in open_ones for notice in _tried(one, lambda: open_ones[one].close(ending))]  # noqa: B023
    yield from problems


def _start(name: str, run: RunDir, config: TrainConfig, *, epoch: int) -> Tracking:
    tracker = registry.get("tracker", name)
    values = flatten(config.model_dump(mode="json"))
    tracking: Tracking = tracker.start(
        TrackedRun(path=run.path, folder=folder_for(run, name), config=values, epoch=epoch)
    )
    return tracking


def _offer(open_ones: dict[str, Tracking], fact: EpochTimed) -> Iterator[Notice]:
    """Tell every tracker of an epoch; leave out those that fail."""
    numbers = numbers_of(fact)
    for name, tracking in [*open_ones.items()]:
        problems = [*_tried(name, lambda: tracking.epoch(fact.result.epoch, numbers))]  # noqa: B023
        if problems:
            del open_ones[name]
        yield from problems


def numbers_of(fact: EpochTimed) -> dict[str, float]:
    """Return the numbers of an epoch: those of `metrics.jsonl`, its seconds and its images per second."""
    line = {key: float(value) for key, value in metrics_line(fact.result).items() if key not in ("epoch", "best")}
    return {**line, "seconds": fact.seconds, "images_per_second": fact.images_per_second}


def _tried(name: str, work: Callable[[], object]) -> Iterator[Notice]:
    """Do the work of a tracker; yield a notice when it fails."""
    try:
        work()
    except (Exception, SystemExit) as error:  # the code of a stranger
        reason = (str(error).strip() or type(error).__name__).partition("\n")[0]
        yield Notice(f"the tracker '{name}' fails and is left out, the run goes on: {reason}")
