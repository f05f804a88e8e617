"""Groups of tiny runs, and a worker for them."""

from pathlib import Path
from typing import Any

from support.tiny_runs import ARCH

from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.runs.group import Group
from resnetctl.system import settings
from resnetctl.tasks.resume import resume
from resnetctl.tasks.sweep.points import plan_group
from resnetctl.tasks.sweep.work import work
from resnetctl.tasks.train import train
from resnetctl.training.launch import Trainer

TRAINER = Trainer(start=train, resume=resume)


def grouped(*sets: str, seeds: int = 3, halving: int = 0) -> Group:
    each = [{"seed": number} for number in range(seeds)]
    base = [from_sets([*ARCH, "epochs=2", *sets])]
    return plan_group(base, each, settings=settings.load(), where=(Path("runs"), "g"), halving=halving)


def worked(group: Group, trainer: Trainer = TRAINER) -> list[Any]:
    return list(work(group, settings.load(), trainer=trainer))
