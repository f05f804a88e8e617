"""The steps of a run in stages: cut the network, and train what is left. Each reads what an earlier call finished."""

from __future__ import annotations

import time
from collections.abc import Generator
from functools import cached_property
from pathlib import Path
from typing import Any

import resnetctl.runs as runs
from resnetctl.config.draft import Draft, RunRequest, draft
from resnetctl.config.layers import layer, to_toml
from resnetctl.config.schema import FinetuneConfig
from resnetctl.data.store import Store, open_store
from resnetctl.errors import CheckFailed, ResnetctlError, UsageError, WeightsError
from resnetctl.facts import Notice
from resnetctl.hints import Call, Setting, in_shell
from resnetctl.runs import RunDir
from resnetctl.runs.staged import StagedRun
from resnetctl.spec import WeightsCard
from resnetctl.system import storage
from resnetctl.system.settings import Settings
from resnetctl.tasks.compress.order import Order, read_back
from resnetctl.tasks.compress.report import CutFacts
from resnetctl.tasks.compress.smaller import Judge, Limit, Smaller, make_smaller
from resnetctl.training.environment import environment
from resnetctl.training.launch import Trainer
from resnetctl.training.report import TrainReport
from resnetctl.weights.file import read_header

EPOCHS = 5  # of the training, where a goal is set and neither a length nor a budget
RESERVE = 60.0  # seconds of the budget that are left for int8 and the measures


class Steps:
    """The steps of one run. `cut_name` and `train_name` number the stages of each attempt."""

    def __init__(self, staged: StagedRun, order: Order, *, settings: Settings, trainer: Trainer) -> None:
        self.staged, self.order, self.settings, self.trainer = staged, order, settings, trainer
        self.target = Path(order.target)
        self.header = read_header(self.target)
        if storage.sha256(self.target) != order.sha256:
            raise WeightsError(
                "these weights have changed since the run was begun",
                where=str(self.target),
                hint=Setting("name", "OTHER", note="begins another run"),
            )
        self.store = open_store(settings.data_dir, order.data)
        self._began = time.monotonic()

    @cached_property
    def judge(self) -> Judge:
        """The images that the networks are measured by. Val is drawn once."""
        return Judge(self.header.card, self.store)

    def cut(self, attempt: int, *, limit: Limit | None = None) -> Generator[Any, None, CutFacts]:
        """Cut the network, unless an earlier call has. Raises `CheckFailed` when no cut keeps the limit."""
        name = cut_name(attempt)
        stage = self.staged.stage(name)
        if not stage.config.is_file() or stage.summary() is None:
            self.staged.drop(name)
            yield Notice("choosing what to remove, by what it matters and by the time that it takes here")
            made = make_smaller(self.header, self.store, cut=self.order.cut, limit=limit)
            self._write_cut(attempt, made)
        return read_back(CutFacts, self.staged.cut(name), where=stage.path)

    def train(self, attempt: int) -> Generator[Any, None, RunDir]:
        """Train the cut network, or go on with its training. Raises `CheckFailed` when the budget is too short."""
        stage = self.staged.stage(train_name(attempt))
        if not stage.config.is_file():
            try:
                yield from self.trainer.start(self._training(attempt, budget=self._left()), self.settings)
            except UsageError as error:
                raise self._named(error) from None
        elif stage.summary() is None:
            yield Notice(f"{train_name(attempt)} goes on")
            yield from self.trainer.resume(stage.path, settings=self.settings)
        return stage

    def _left(self) -> float:
        """Return the seconds of the budget that are left for training; 0 without a budget."""
        whole = self.order.budget_seconds
        return max(1.0, whole - (time.monotonic() - self._began) - RESERVE) if whole else 0.0

    def _named(self, error: UsageError) -> ResnetctlError:
        """Return the error; one on the time to train is about the option that set it."""
        if error.where != Setting("budget"):
            return error
        if self.order.length is None:
            budget = self.order.budget
            return CheckFailed(f"the budget of {budget} leaves too little time to train: {error.message}")
        return UsageError(error.message, where=Setting("finetune"), hint=error.hint)

    def _training(self, attempt: int, *, budget: float = 0.0) -> Draft[FinetuneConfig]:
        return training(
            self.order, self.header.card, settings=self.settings, folder=self.staged.stages, attempt=attempt,
            budget=budget,
        )  # fmt: skip

    def _write_cut(self, attempt: int, smaller: Smaller) -> None:
        """Write the cut network as a run, whose config is that of the training that it is for."""
        name = cut_name(attempt)
        resolved = self._training(attempt).settled(self.store.card, smaller.card)
        repeat = in_shell(Call("finetune", settings={"config": runs.CONFIG}))
        run = runs.create(
            self.staged.stages,
            name,
            config=to_toml(resolved.config, f"This network was cut, not trained. To train it: {repeat}"),
            sources=resolved.origins,
            env=environment(self.store.card, plugins=smaller.card.plugins.used, device="cpu"),
        )
        run.save_weights(smaller.data)
        self.staged.save_cut(name, smaller.facts.to_json())
        run.save_summary(_summary(smaller, self.store))


def cut_name(attempt: int) -> str:
    """Return the name of the stage that cuts: `1-cut`, and `3-cut` in the second attempt."""
    return f"{2 * attempt + 1}-cut"


def train_name(attempt: int) -> str:
    """Return the name of the stage that trains: `2-finetune`, and `4-finetune` in the second attempt."""
    return f"{2 * attempt + 2}-finetune"


def training(
    order: Order, card: WeightsCard, *, settings: Settings, folder: Path, attempt: int = 0, budget: float = 0.0
) -> Draft[FinetuneConfig]:
    """Return the draft of the training of the cut network.

    The whole network teaches, and val stays that of its own training. Both can be set otherwise.

    Args:
        folder: holds the runs of the stages.
        budget: seconds that set the length; 0: the order sets it.
    """
    length = order.length
    weak: dict[str, Any] = {"distill": {"teacher": order.target}}
    if order.has_goal and not order.budget:
        weak["epochs"] = EPOCHS
    if card.split is not None and card.trained_on.get("name") == order.data:
        weak |= {"val_fraction": card.split.val_fraction, "split_seed": card.split.seed}
    fixed: dict[str, Any] = {"data": order.data, "weights": str(folder / cut_name(attempt))}
    if length is not None and length.epochs:
        fixed["epochs"] = length.epochs
    layers = [layer(weak, "compress"), layer(order.set, "set"), layer(fixed, "compress")]
    allowed = budget if length is None else length.seconds
    request = RunRequest(name=train_name(attempt), out=folder, budget=allowed)
    return draft(FinetuneConfig, layers, settings=settings, request=request)


def _summary(smaller: Smaller, store: Store) -> dict[str, Any]:
    """Return the summary of a run that trained nothing."""
    return {
        "schema": TrainReport.schema,
        "status": "finished",
        "arch": smaller.card.arch.name,
        "data": store.card.name,
        "epochs": 0,
        "steps": 0,
        "stopped_early": False,
        "kept": "last",
        "best": None,
        "last": None,
        "seconds": 0.0,
    }
