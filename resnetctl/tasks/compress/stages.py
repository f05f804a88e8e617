"""`compress --name`: a run that is made in stages. The network is cut, then trained with the whole one as its teacher.

Each stage is a run, so a killed command goes on where it stopped: a stage that is finished is read, and the training
resumes from its checkpoint.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import resnetctl.runs as runs
from resnetctl.data.store import open_store
from resnetctl.errors import ResnetctlError, Stopped, UsageError
from resnetctl.hints import Call, Setting
from resnetctl.runs import RunDir
from resnetctl.runs.staged import StagedRun, begin, is_begun
from resnetctl.system import storage
from resnetctl.system.settings import Settings
from resnetctl.tasks.compress.files import resolve_weights
from resnetctl.tasks.compress.goals import reach
from resnetctl.tasks.compress.order import Order, dataset_of, read_back, require_cut
from resnetctl.tasks.compress.report import CompressReport
from resnetctl.tasks.compress.steps import Steps, stages_of, training
from resnetctl.tasks.compress.student import open_student, settled_name
from resnetctl.training.launch import Trainer
from resnetctl.weights.file import load_network, read_header
from resnetctl.weights.plugins import require_plugins

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
        CheckFailed: no cut gives the speed-up, or no network keeps all limits.
        Stopped: a signal came during the training; the same call goes on.
    """
    staged, order = _opened(order, settings, name=name)
    try:
        with staged.locked():
            staged.save_plan(order.to_json())  # with another budget, perhaps
            steps = Steps(staged, order, settings=settings, trainer=trainer)
            return (yield from reach(steps) if order.has_goal or order.student else _cut_and_train(steps))
    except Stopped as error:
        go_on = Call("compress", settings={"name": staged.path.name})
        raise Stopped(error.message, signum=error.exit_code - 128, hint=go_on) from None
    except ResnetctlError:
        staged.discard_if_empty()
        raise


def _opened(order: Order, settings: Settings, *, name: str | None) -> tuple[StagedRun, Order]:
    """Return the run and what was asked for: begin it, or read the order of one that is not finished."""
    folder = settings.runs_dir
    target = resolve_weights(order.target, settings).path.resolve() if order.target else None
    if name is not None and is_begun(folder, name):
        staged = StagedRun(folder / name)
        stored = read_back(Order, staged.plan(), where=staged.path)
        asked = order.settled(
            target="" if target is None else str(target),
            student=settled_name(order.student, settings) if order.student else "",
        )
        asked.require_same(stored, name=name)
        _ = asked.budget_seconds  # raises for text that is no time
        return staged, stored.settled(budget=asked.budget or stored.budget)
    if name is not None:
        runs.free_path(folder, name)
        if order == Order():
            hint = Setting("speedup", 2, note="begins one")
            raise UsageError(f"there is no run '{name}' to go on with", where=Setting("name"), hint=hint)
    target = target or resolve_weights(None, settings).path.resolve()
    header = read_header(target)
    require_plugins(header.card, header.path)
    if order.has_goal:
        order.require_goal(header.card)
    else:
        require_cut(order.cut, header.card)
    order.require_training()
    store = open_store(settings.data_dir, dataset_of(header.card, order.data))
    order = order.settled(target=str(target), sha256=storage.sha256(target), data=store.card.name)
    if order.student:
        student = open_student(order.student, header, settings=settings)
        order = order.settled(student=student.name, student_sha256=student.sha256)
    # report a wrong config before any work
    stages = replace(stages_of(0), folder=folder)
    training(order, header.card, settings=settings, stages=stages, budget=order.budget_seconds)
    if name is None:
        name = next(runs.automatic_names(folder, arch=f"{header.card.arch.name}-smaller", data=order.data))
    storage.require_writable(folder, hint="RESNETCTL_RUNS_DIR=FOLDER chooses another place for all runs")
    return begin(folder, name, plan=order.to_json()), order


def _cut_and_train(steps: Steps) -> Work:
    """Cut and train; return the report of the published run."""
    facts = yield from steps.cut(0)
    last, trained = steps.staged.stage(stages_of(0).start), None
    if steps.order.length is not None:
        last = yield from steps.train(stages_of(0))
        header = read_header(last.weights)
        trained = steps.judge_of(header.card).accuracy(load_network(header))
    run = RunDir(steps.staged.path)
    report = CompressReport(
        path=run.weights,
        target=steps.target,
        data=steps.order.data,
        cut=facts,
        run=run.path,
        trained=trained,
        seconds=steps.clock.used,
    )
    steps.staged.publish(last, report.to_json())
    return report
