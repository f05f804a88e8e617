"""Successive halving: at which epochs the runs of a group stop, and which of them go on (Jamieson and Talwalkar 2016).

A run stops at each rung. It goes on when all runs have reached the rung and it is among the best.
"""

import math

from resnetctl.config.draft import draft
from resnetctl.config.layers import from_file
from resnetctl.config.schema import TrainConfig
from resnetctl.runs.group import Group
from resnetctl.runs.log import val_key
from resnetctl.system.settings import Settings


def is_done(group: Group, name: str, *, rung: int) -> bool:
    """Return whether a run has finished, has failed, or has reached the epoch `rung` (0: the end)."""
    run = group.run(name)
    if run.failure() is not None or run.summary() is not None:
        return True
    return bool(rung) and len(run.metrics()) >= rung


def rungs(group: Group, settings: Settings, *, factor: int) -> list[int]:
    """Return the epochs at which the worse runs stop, then 0, the end: for 27 epochs and 9 runs 3, 9, 0."""
    config = draft(TrainConfig, [from_file(group.config(group.names()[0]))], settings=settings).config
    stages = int(math.log(len(group.names()), factor) + 1e-9)
    epochs = [config.epochs // factor**stage for stage in range(stages, 0, -1)]
    return [*dict.fromkeys(epoch for epoch in epochs if epoch), 0]


def survivors(group: Group, earlier: list[int], *, halving: int) -> list[str]:
    """Return the runs that go on after the rungs `earlier`: of those that reached each, the best part, at least one."""
    names = group.names()
    for epoch in earlier:
        kept = max(1, len(names) // halving)
        names = sorted(names, key=lambda name: _rank(group, name, epoch))[:kept]
    return sorted(names)


def _rank(group: Group, name: str, epoch: int) -> tuple[float, float, str]:
    """Return the key that sorts runs by their best number on val up to an epoch, best first."""
    lines = [line for line in group.run(name).metrics()[:epoch] if val_key(line)]
    ranks = ((-line[val_key(line)], line.get("val_loss", 0.0)) for line in lines)
    best: tuple[float, float] = min(ranks, default=(0.0, math.inf))
    return (*best, name)
