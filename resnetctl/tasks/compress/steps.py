"""The steps of a run in stages: cut the network or take the student, and train it. Each reads what is finished."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import resnetctl.runs as runs
from resnetctl.config.draft import Draft, RunRequest, draft
from resnetctl.config.duration import spoken
from resnetctl.config.layers import layer, to_toml
from resnetctl.config.schema import FinetuneConfig
from resnetctl.data.store import Store, open_store
from resnetctl.errors import CheckFailed, ResnetctlError, UsageError, WeightsError
from resnetctl.facts import Doing, Notice
from resnetctl.hints import Call, Setting, in_shell
from resnetctl.report.outcomes import TrainReport
from resnetctl.runs import RunDir
from resnetctl.runs.staged import StagedRun
from resnetctl.spec import Card, WeightsCard
from resnetctl.system import storage
from resnetctl.system.settings import Settings
from resnetctl.tasks.compress.attempts import File
from resnetctl.tasks.compress.clock import Clock
from resnetctl.tasks.compress.exports import float_file
from resnetctl.tasks.compress.judge import Judge
from resnetctl.tasks.compress.order import Order, read_back
from resnetctl.tasks.compress.report import CutFacts, StudentFacts
from resnetctl.tasks.compress.smaller import Limit, Planner
from resnetctl.tasks.compress.student import measure_student, open_student, seen_notices
from resnetctl.training.environment import environment
from resnetctl.training.launch import Trainer
from resnetctl.weights.file import read_card, read_header

CHOOSING = 0.1  # of a budget that is left, for the importance of the blocks
RATE = 4e-3  # AdamW's for a network that a cut has damaged: `benchmarks/compress.md` compares rates and teachers
TEACHER = 0.5  # share of the loss
EPOCHS = 5  # of the training, where a goal is set and neither a length nor a budget


class OutOfTime(CheckFailed):
    """The budget leaves too little time."""


class Steps:
    """The steps of one run. Each attempt to cut has stages of its own, and the student has one pair."""

    def __init__(self, staged: StagedRun, order: Order, *, settings: Settings, trainer: Trainer) -> None:
        self.staged, self.order, self.settings, self.trainer = staged, order, settings, trainer
        self.target = Path(order.target)
        self.header = read_header(self.target)
        if storage.sha256(self.target) != order.sha256:
            raise _changed(self.target)
        self.store = open_store(settings.data_dir, order.data)
        self.clock = Clock(budget=order.budget_seconds, earlier=staged.seconds())

    @cached_property
    def judge(self) -> Judge:
        """The images that the whole network is measured by."""
        return self.judge_of(self.header.card)

    def judge_of(self, card: WeightsCard) -> Judge:
        """Return the same images as this network reads them, and its order of the classes."""
        return Judge(card, self.store, val_of=self.header.card)

    @cached_property
    def whole(self) -> File:
        """The float32 file of the whole network."""
        return float_file(self.judge, self.header, name="whole")

    def file(self, stage: str) -> File:
        """Return the float32 file of the network of a stage. Raises `CheckFailed` when torch does not agree."""
        header = read_header(self.staged.stage(stage).weights)
        return float_file(self.judge_of(header.card), header, name=stage)

    @cached_property
    def _planner(self) -> Planner:
        """The measures that networks are cut by: all attempts share them."""
        known = self.whole if self.order.has_goal or self.order.student else None
        return Planner(self.header, self.store, seconds=CHOOSING * self.clock.left, whole=known)

    def cut(self, attempt: int, *, limit: Limit | None = None) -> Generator[Any, None, CutFacts]:
        """Cut the network, unless an earlier call has. Raises `CheckFailed` when no cut keeps the limit."""
        name = stages_of(attempt).start
        stage = self.staged.stage(name)
        if not stage.config.is_file() or stage.summary() is None:
            self.staged.drop(name)
            if self.clock.left <= 0:
                raise self._out_of_time()
            yield Doing("choosing what to remove, by importance and measured time")
            began = time.monotonic()
            made = self._planner.smaller(self.order.cut, limit=limit)
            yield from map(Notice, made.notices)
            text = "This network was cut, not trained."
            self._write(stages_of(attempt), made.data, card=made.card, text=text, facts=made.facts, began=began)
        return read_back(CutFacts, self.staged.facts(name), where=stage.path)

    def student(self) -> Generator[Any, None, StudentFacts]:
        """Measure the student, unless an earlier call has.

        Raises:
            CheckFailed: it is slower than the whole network.
            WeightsError: its file has changed since the run was begun, or as `open_student`.
        """
        name, order = STUDENT_STAGES.start, self.order
        stage = self.staged.stage(name)
        if not stage.config.is_file() or stage.summary() is None:
            self.staged.drop(name)
            yield Doing("timing the student")
            began = time.monotonic()
            seed = self._training(STUDENT_STAGES).config.seed
            student = open_student(order.student, self.header, settings=self.settings, seed=seed)
            if student.sha256 != order.student_sha256:
                raise _changed(student.name)
            facts = measure_student(student, self.header, store=self.store, int8=order.int8)
            text = "This is the student before its training."
            self._write(STUDENT_STAGES, student.data, card=student.card, text=text, facts=facts, began=began)
        return self._student_facts()

    def _student_facts(self) -> StudentFacts:
        name = STUDENT_STAGES.start
        return read_back(StudentFacts, self.staged.facts(name), where=self.staged.stage(name).path)

    def competitor(self) -> tuple[StudentFacts | None, tuple[str, ...]]:
        """Return what was measured of the student, None without one, and notices about it."""
        if not self.order.student:
            return None, ()
        card = read_card(self.staged.stage(STUDENT_STAGES.start).weights)
        return self._student_facts(), seen_notices(card, self.header.card, data=self.order.data)

    def train(self, stages: Stages, *, reserve: float = 0.0) -> Generator[Any, None, RunDir]:
        """Train a network, or go on with its training. Raises `CheckFailed` when the budget is too short.

        Args:
            reserve: seconds of the budget that the work after the training needs.
        """
        stage = self.staged.stage(stages.train)
        if not stage.config.is_file():
            seconds, asked = self._allowed(stages, reserve=reserve), self.order.length
            if asked is not None and seconds and asked.seconds > seconds:
                yield Notice(f"the budget leaves {spoken(seconds)} to train, not {spoken(asked.seconds)}")
            try:
                yield from self.trainer.start(self._training(stages, budget=seconds), self.settings)
            except UsageError as error:
                raise self._named(error, reserve=reserve) from None
        elif stage.summary() is None:
            yield Doing(f"{stages.train} goes on")
            yield from self.trainer.resume(stage.path, settings=self.settings)
        return stage

    def _allowed(self, stages: Stages, *, reserve: float) -> float:
        """Return the seconds of the budget for this training; 0 without a budget.

        The cut network leaves half of them to a student that is not trained yet.
        """
        student = self.staged.stage(STUDENT_STAGES.train)
        shares = 2 if self.order.student and stages != STUDENT_STAGES and student.summary() is None else 1
        if not self.clock.budget:
            return 0.0
        if self.clock.left <= reserve:
            raise self._out_of_time(reserve)
        return (self.clock.left - reserve) / shares

    def _out_of_time(self, reserve: float = 0.0, *, why: str = "") -> OutOfTime:
        """Return the error of a budget that is used up, or of which too little is left.

        Args:
            reserve: seconds that the work after the training needs.
            why: what needs more time.
        """
        kept = f", and {spoken(reserve)} are needed for the checks" if reserve else ""
        text = f"the budget of {self.order.budget} is too short: {spoken(self.clock.used)} are used{kept}"
        return OutOfTime(f"{text}; {why}" if why else text)

    def _named(self, error: UsageError, *, reserve: float) -> ResnetctlError:
        """Return the error; one on the time to train is about the option that set it."""
        if error.where != Setting("budget"):
            return error
        if self.clock.budget:
            return self._out_of_time(reserve, why=f"for the training {error.message}")
        return UsageError(error.message, where=Setting("finetune"), hint=error.hint)

    def _training(self, stages: Stages, *, budget: float = 0.0) -> Draft[FinetuneConfig]:
        own = replace(stages, folder=self.staged.stages)
        return training(self.order, self.header.card, settings=self.settings, stages=own, budget=budget)

    def _write(self, stages: Stages, data: bytes, *, card: WeightsCard, text: str, facts: Card, began: float) -> None:
        """Write a network that is not trained yet as a run, whose config is that of the training that it is for.

        Args:
            began: `time.monotonic()` when the work on it began.
        """
        resolved = self._training(stages).settled(self.store.card, card)
        repeat = in_shell(Call("finetune", settings={"config": runs.CONFIG}))
        run = runs.create(
            self.staged.stages,
            stages.start,
            config=to_toml(resolved.config, f"{text} To train it: {repeat}"),
            sources=resolved.origins,
            env=environment(self.store.card, plugins=card.plugins.used),
        )
        run.save_weights(data)
        self.staged.save_facts(stages.start, facts.to_json())
        run.save_summary(_summary(card.arch.name, self.store, seconds=time.monotonic() - began))


@dataclass(frozen=True)
class Stages:
    """The names of two stages, and the folder that holds them: one has the network, the other trains it."""

    start: str
    train: str
    folder: Path = Path()


STUDENT_STAGES = Stages("student", "student-finetune")


def stages_of(attempt: int) -> Stages:
    """Return the stages of an attempt to cut: `1-cut`, `2-finetune`, then `3-cut`, `4-finetune`."""
    return Stages(f"{2 * attempt + 1}-cut", f"{2 * attempt + 2}-finetune")


def training(
    order: Order,
    card: WeightsCard,
    *,
    settings: Settings,
    stages: Stages,
    budget: float = 0.0,
) -> Draft[FinetuneConfig]:
    """Return the draft of the training of a smaller network.

    The whole network teaches, and val stays that of its own training. The learning rate is four times that of
    `finetune`, but for a student that was trained before. All can be set otherwise.

    Args:
        stages: the network, and its training.
        budget: seconds that the training may take; 0: any. Without a length in the order they set it.
    """
    length, folder = order.length, stages.folder
    weak: dict[str, Any] = {"distill": {"teacher": order.target, "weight": TEACHER}}
    is_trained = stages.start == STUDENT_STAGES.start and bool(order.student_sha256)
    if not is_trained and not {key.partition(".")[0] for key in order.set} & {"optim", "recipe"}:
        weak["lr"] = RATE
    if order.has_goal:
        weak["epochs"] = EPOCHS
    if card.split is not None and card.trained_on.get("name") == order.data:
        weak |= {"val_fraction": card.split.val_fraction, "split_seed": card.split.seed}
    fixed: dict[str, Any] = {"data": order.data, "weights": str(folder / stages.start)}
    if length is not None and length.epochs:
        fixed["epochs"] = length.epochs
    layers = [layer(weak, "compress"), layer(order.set, "set"), layer(fixed, "compress")]
    asked = length.seconds if length is not None else 0.0
    shortest = min(filter(None, (budget, asked)), default=0.0)
    shortens = length is not None and length.epochs > 0
    request = RunRequest(name=stages.train, out=folder, budget=shortest, shortens=shortens)
    return draft(FinetuneConfig, layers, settings=settings, request=request)


def _changed(path: str | Path) -> WeightsError:
    hint = Setting("name", "OTHER", note="begins another run")
    return WeightsError("these weights have changed since the run was begun", where=str(path), hint=hint)


def _summary(arch: str, store: Store, *, seconds: float) -> dict[str, Any]:
    """Return the summary of a run that trained nothing."""
    return {
        "schema": TrainReport.schema,
        "status": "finished",
        "arch": arch,
        "data": store.card.name,
        "epochs": 0,
        "steps": 0,
        "stopped_early": False,
        "kept": "last",
        "best": None,
        "last": None,
        "seconds": seconds,
    }
