"""resnetctl: the task behind `resnetctl train`, its steps counted as they come. Nothing in it is made for this."""

import time
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from programs.task import DECAY, LR, MOMENTUM, Array, Step, Task
from resnetctl import rng
from resnetctl.config.draft import Draft, draft
from resnetctl.config.layers import layer
from resnetctl.config.schema import TrainConfig
from resnetctl.data.loader import batch_rows, epoch_order
from resnetctl.data.preprocess import normalise
from resnetctl.data.store import open_store
from resnetctl.engine.loop import Plan, StepResult, fit
from resnetctl.engine.predictors import torch_predictor
from resnetctl.system.settings import Settings
from resnetctl.system.signals import Stop
from resnetctl.tasks.train import train
from resnetctl.training.job import Job, fresh_model, fresh_state, prepare
from resnetctl.training.plan import make_plan

PROVED = 100  # batches of 128 after which nearly every block of the store has been proved, which happens once


class Program:
    """See `programs.task.Program`."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.values = {
            "data": task.data,
            "model.arch": task.arch,
            "augment": "standard",
            "batch_size": task.batch,
            "lr": LR,
            "weight_decay": DECAY,
            "optim.momentum": MOMENTUM,
            "threads": task.threads,
            "precision": "fp32",  # as every other program: `auto` is bf16 on some processors
            "val_fraction": 0.0,
        }

    def train(self, step: Step, epochs: int) -> None:
        machine = self.machine()
        for fact in train(self.draft(epochs, machine), machine):
            if isinstance(fact, StepResult):
                step(fact.images)

    def logits(self, pictures: Array) -> Array:
        job = self.job()
        state = fresh_state(job, fresh_model(job))
        return torch_predictor(state.model, job.image, device=job.device, precision="fp32")(pictures)

    def inputs(self) -> Array:
        plan = make_plan(self.job(), Stop())
        return np.concatenate([batch.numpy() for batch in islice(inputs(plan), plan.steps_per_epoch)])

    def shares(self, rounds: int) -> list[float]:
        """Seconds of the input pipeline for a batch over seconds of a whole step, one value a round."""
        job = self.job()
        plan = make_plan(job, Stop())
        facts, batches = fit(fresh_state(job, fresh_model(job)), plan), inputs(plan)
        _seconds(lambda: next(batches), PROVED)
        _seconds(lambda: next(facts), 2)
        pairs = [(_seconds(lambda: next(batches), 20), _seconds(lambda: next(facts), 2)) for _ in range(rounds)]
        return [first / second for first, second in pairs]

    def job(self) -> Job:
        """The settled run."""
        machine = self.machine()
        return prepare(self.draft(100, machine), open_store(machine.data_dir, self.task.data))

    def machine(self) -> Settings:
        """The folders and the threads of the task."""
        folders = {"data_dir": Path(self.task.data_dir), "runs_dir": Path(self.task.runs)}
        return Settings(**folders, device="cpu", threads=self.task.threads)

    def draft(self, epochs: int, machine: Settings) -> Draft[TrainConfig]:
        """What the command line would hand to `train`."""
        return draft(TrainConfig, [layer(self.values | {"epochs": epochs}, "set")], settings=machine)


def first_model(task: Task) -> torch.nn.Module:
    """The network with the weights that the seed gives."""
    return fresh_model(Program(task).job())


def flops(task: Task) -> int:
    """FLOPs of one image in training, two for each multiply-add of convolutions and linear layers."""
    model = first_model(task)
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(2, 3, 32, 32)).sum().backward()
    return int(counter.get_total_flops()) // 2


def inputs(plan: Plan) -> Iterator[torch.Tensor]:
    """What the network gets, step after step, made as `fit` makes it."""
    for step in count():
        epoch, offset = divmod(step, plan.steps_per_epoch)
        if not offset:
            order = epoch_order(len(plan.feed), plan.seed, epoch=epoch)
        torch.manual_seed(rng.derive(plan.seed, "step", step, 0))
        rows = batch_rows(order, offset, batch_size=plan.batch_size)
        yield normalise(plan.augment(plan.feed.batch(rows, epoch=epoch, step=step)).images, plan.image)


def _seconds(work: Callable[[], object], times: int) -> float:
    begun = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - begun) / times
