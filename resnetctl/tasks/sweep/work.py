"""Work on a group: train its runs one after the other, beside any number of other workers.

A run is taken by its lock, resumed where it stopped, and left when it has a summary.
"""

import contextlib
import time
from collections.abc import Generator, Iterator
from typing import Any

from resnetctl.config.draft import RunRequest, draft
from resnetctl.config.schema import TrainConfig
from resnetctl.errors import NonFinite, Stopped
from resnetctl.facts import Doing, EpochTimed, Notice, TrainFact
from resnetctl.hints import Call
from resnetctl.runs.finding import runs_in
from resnetctl.runs.group import Group
from resnetctl.runs.plugins import changed_since
from resnetctl.runs.requirements import naming_plugins
from resnetctl.system.settings import Settings
from resnetctl.tasks.sweep.halving import is_done, rungs, survivors
from resnetctl.tasks.sweep.points import ask
from resnetctl.tasks.sweep.queued import from_queue
from resnetctl.tasks.sweep.remarks import Remarks
from resnetctl.tasks.sweep.states import progress, require_success
from resnetctl.training.launch import Trainer
from resnetctl.wording import counted

POLL_SECONDS = 1.0  # how often a worker looks whether the others have reached a rung


def work(group: Group, settings: Settings, *, trainer: Trainer, wait: bool = True) -> Iterator[TrainFact | Any]:
    """Train the runs of a group until no run is left that this worker could train.

    Args:
        wait: with halving, wait for runs that other workers train before a rung is decided.

    Raises:
        Stopped: a signal came; the run is saved, and another worker resumes it.
        WorkFailed: all runs have failed.
        ResnetctlError: a run cannot be trained. A run whose numbers are not finite is left out instead.
    """
    yield from _changed_plugins(group)
    trainer = _quieted(group, trainer)
    if "search" in group.plan():
        yield from _search(group, settings, trainer=trainer)
    else:
        yield from _rungs(group, settings, trainer=trainer, wait=wait)
    require_success(group)


def _rungs(group: Group, settings: Settings, *, trainer: Trainer, wait: bool) -> Iterator[TrainFact | Any]:
    """Train what is free up to each rung of the halving, or to the end."""
    halving = int(group.plan().get("halving", 0))
    stops = rungs(group, settings, factor=halving) if halving else [0]
    for place, rung in enumerate(stops):
        names = survivors(group, stops[:place], halving=halving)
        while True:
            began = yield from _pass(group, names, settings, trainer=trainer, rung=rung)
            left = [name for name in names if not is_done(group, name, rung=rung)]
            if not left or (not began and not (halving and wait)):
                break
            if not began:
                time.sleep(POLL_SECONDS)
        if left:
            yield _with_others(left)
            return


def _changed_plugins(group: Group) -> Iterator[Notice]:
    """Yield a notice if the runs that are left will be trained with other plugins than those before them."""
    if progress(group)["finished"] == group.total():
        return
    if changes := changed_since(runs_in(group.path)):
        text = f"plugins have changed since the first runs of {group.path}, and its means will mix both"
        hint = "a group of another name trains every run with the plugins of today"
        yield Notice(f"{text}: {'; '.join(changes)}", hint=(hint,))


def _search(group: Group, settings: Settings, *, trainer: Trainer) -> Iterator[TrainFact | Any]:
    """Train what is free, then ask for the next run, until the search has all its runs."""
    asked: str | None = ""
    while asked is not None:
        yield from _pass(group, group.names(), settings, trainer=trainer, rung=0)
        asked = ask(group, settings)
    if left := [name for name in group.names() if not is_done(group, name, rung=0)]:
        yield _with_others(left)


def _quieted(group: Group, trainer: Trainer) -> Trainer:
    """Return a trainer whose runs say each notice once for a setting of the group."""
    remarks = Remarks(group.plan()["keys"], in_flags=group.is_by_flags())

    def quieted(facts: Generator[Any, None, Any], name: str) -> Iterator[Any]:
        point = group.plan()["points"].get(name, {})
        with contextlib.closing(facts):
            for fact in facts:
                yield from remarks.of(fact, point) if isinstance(fact, Notice) else [fact]

    return Trainer(
        start=lambda asked, settings: quieted(trainer.start(asked, settings), asked.request.name),
        resume=lambda path, settings: quieted(trainer.resume(path, settings=settings), path.name),
    )


def _with_others(names: list[str]) -> Notice:
    return Doing(f"other workers train {counted(len(names), 'run')}")


def _pass(
    group: Group, names: list[str], settings: Settings, *, trainer: Trainer, rung: int
) -> Generator[Any, None, bool]:
    """Train every run that is free, in order; return whether there was one."""
    began = False
    for name in names:
        if is_done(group, name, rung=rung):
            continue
        with group.taken(name) as is_free:
            if not is_free or is_done(group, name, rung=rung):
                continue
            began = True
            try:
                yield from _train(group, name, settings, trainer=trainer, rung=rung)
            except NonFinite as error:
                yield Notice(f"{name} is left out: {error.message}")
    return began


def _train(group: Group, name: str, settings: Settings, *, trainer: Trainer, rung: int) -> Iterator[Any]:
    """Begin or resume one run; stop after the epoch `rung`."""
    path = group.path / name
    place = f"run {group.names().index(name) + 1} of {group.total()}"
    if group.run(name).config.is_file():
        yield Doing(f"{place}: {name} goes on")
        facts = trainer.resume(path, settings=settings)
    else:
        yield Doing(f"{place}: {name}")
        request = RunRequest(name=name, out=group.path)
        with naming_plugins(None, group=group.path):
            asked = draft(TrainConfig, [from_queue(group.config(name))], settings=settings, request=request)
        facts = trainer.start(asked, settings)
    try:
        for fact in facts:
            yield fact
            if rung and isinstance(fact, EpochTimed) and fact.result.epoch >= rung:
                facts.close()  # the epoch is saved; a resume goes on exactly here
                return
    except Stopped as error:
        go_on = Call("sweep work", (group.path,))  # a resume would finish this run only
        raise Stopped(error.message, signum=error.exit_code - 128, hint=go_on) from None
