"""`compress --name`: a run that is made in stages. The network is cut, then trained with the whole one as its teacher.

Each stage is a run, so a killed command goes on where it stopped: a stage that is finished is read, and the training
resumes from its checkpoint.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import resnetctl.runs as runs
from resnetctl.config.draft import Draft, RunRequest, draft
from resnetctl.config.layers import layer, to_toml
from resnetctl.config.schema import FinetuneConfig
from resnetctl.data.store import Store, open_store
from resnetctl.errors import Stopped, WeightsError
from resnetctl.facts import Notice
from resnetctl.hints import Call, Setting, in_shell
from resnetctl.runs import RunDir
from resnetctl.runs.staged import StagedRun, begin, is_begun
from resnetctl.spec import WeightsCard
from resnetctl.system import storage
from resnetctl.system.settings import Settings
from resnetctl.tasks.compress.files import resolve_weights
from resnetctl.tasks.compress.order import Order, dataset_of, require_cut
from resnetctl.tasks.compress.report import CompressReport, CutFacts
from resnetctl.tasks.compress.smaller import Judge, Smaller, make_smaller
from resnetctl.training.environment import environment
from resnetctl.training.launch import Trainer
from resnetctl.training.report import TrainReport
from resnetctl.weights.file import load_network, read_header

CUT, TRAIN = "1-cut", "2-finetune"  # the folders of the stages
Work = Generator[Any, None, CompressReport]


def into_run(order: Order, settings: Settings, *, name: str | None, trainer: Trainer) -> Work:
    """Make the run `name`, or go on with it: yield the facts of its training, and return the report.

    Args:
        order: what to do. Without a cut, the run `name` must have been begun.
        name: the name of the run; None: automatic.
        trainer: the tasks `finetune` and `resume`.

    Raises:
        UsageError: the order is not possible or is another one than the run was begun with, or the run exists.
        InputError: the target or the dataset is missing, has changed, or has other classes.
        CheckFailed: no cut gives the speed-up.
        Stopped: a signal came during the training; the same call goes on.
    """
    staged, order = _opened(order, settings, name=name)
    with staged.locked():
        try:
            return (yield from _Stages(staged, order, settings=settings, trainer=trainer).all())
        except Stopped as error:
            go_on = Call("compress", settings={"name": staged.path.name})
            raise Stopped(error.message, signum=error.exit_code - 128, hint=go_on) from None


def _opened(order: Order, settings: Settings, *, name: str | None) -> tuple[StagedRun, Order]:
    """Return the run and what was asked for: begin it, or read the order of one that is not finished."""
    folder = settings.runs_dir
    target = resolve_weights(order.target, settings).path.resolve() if order.target else None
    if name is not None and is_begun(folder, name):
        staged = StagedRun(folder / name)
        stored = Order.from_json(staged.plan())
        order.settled(target="" if target is None else str(target)).require_same(stored, name=name)
        return staged, stored
    if name is not None:
        runs.free_path(folder, name)
    target = target or resolve_weights(None, settings).path.resolve()
    header = read_header(target)
    require_cut(order.cut, header.card)
    order.require_training()
    store = open_store(settings.data_dir, dataset_of(header.card, order.data))
    order = order.settled(target=str(target), sha256=storage.sha256(target), data=store.card.name)
    training(order, header.card, settings=settings, folder=folder)  # report a wrong config before any work
    if name is None:
        name = next(runs.automatic_names(folder, arch=f"{header.card.arch.name}-smaller", data=order.data))
    storage.require_writable(folder, hint="RESNETCTL_RUNS_DIR=FOLDER chooses another place for all runs")
    return begin(folder, name, plan=order.to_json()), order


def training(order: Order, card: WeightsCard, *, settings: Settings, folder: Path) -> Draft[FinetuneConfig]:
    """Return the draft of the training of the cut network. `folder` holds the runs of the stages.

    The whole network teaches, and val stays that of its own training. Both can be set otherwise.
    """
    length = order.length
    weak: dict[str, Any] = {"distill": {"teacher": order.target}}
    if card.split is not None and card.trained_on.get("name") == order.data:
        weak |= {"val_fraction": card.split.val_fraction, "split_seed": card.split.seed}
    fixed: dict[str, Any] = {"data": order.data, "weights": str(folder / CUT)}
    if length is not None and length.epochs:
        fixed["epochs"] = length.epochs
    layers = [layer(weak, "compress"), layer(order.set, "set"), layer(fixed, "compress")]
    request = RunRequest(name=TRAIN, out=folder, budget=0.0 if length is None else length.seconds)
    return draft(FinetuneConfig, layers, settings=settings, request=request)


class _Stages:
    """The stages of one run. Each reads what an earlier call of it has finished."""

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

    def all(self) -> Work:
        """Cut and train; return the report of the published run."""
        facts = yield from self._cut()
        last = self.staged.stage(CUT)
        trained = None
        if self.order.length is not None:
            last = yield from self._train()
            trained = self._judge().accuracy(load_network(read_header(last.weights)))
        run = RunDir(self.staged.path)
        report = CompressReport(
            path=run.weights, target=self.target, data=self.order.data, cut=facts, run=run.path, trained=trained
        )
        self.staged.publish(last, report.to_json())
        return report

    def _judge(self) -> Judge:
        return Judge(self.header.card, self.store)

    def _cut(self) -> Generator[Any, None, CutFacts]:
        """Cut the network, unless an earlier call has."""
        stage = self.staged.stage(CUT)
        if not stage.config.is_file() or stage.summary() is None:
            self.staged.drop(CUT)
            yield Notice("choosing what to remove, by what it matters and by the time that it takes here")
            self._write_cut(make_smaller(self.header, self.store, cut=self.order.cut))
        return CutFacts.from_json(self.staged.cut(CUT))

    def _write_cut(self, smaller: Smaller) -> None:
        """Write the cut network as a run, whose config is that of the training that it is for."""
        wanted = training(self.order, self.header.card, settings=self.settings, folder=self.staged.stages)
        resolved = wanted.settled(self.store.card, smaller.card)
        repeat = in_shell(Call("finetune", settings={"config": runs.CONFIG}))
        run = runs.create(
            self.staged.stages,
            CUT,
            config=to_toml(resolved.config, f"This network was cut, not trained. To train it: {repeat}"),
            sources=resolved.origins,
            env=environment(self.store.card, plugins=smaller.card.plugins.used, device="cpu"),
        )
        run.save_weights(smaller.data)
        self.staged.save_cut(CUT, smaller.facts.to_json())
        run.save_summary(_summary(smaller, self.store))

    def _train(self) -> Generator[Any, None, RunDir]:
        """Train the cut network, or go on with its training."""
        stage = self.staged.stage(TRAIN)
        if not stage.config.is_file():
            wanted = training(self.order, self.header.card, settings=self.settings, folder=self.staged.stages)
            yield from self.trainer.start(wanted, self.settings)
        elif stage.summary() is None:
            yield Notice(f"{TRAIN} goes on")
            yield from self.trainer.resume(stage.path, settings=self.settings)
        return stage


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
