"""Start a run: choose threads and length by timing, create the run folder, and train."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

import resnetctl.runs as runs
from resnetctl.config.draft import Draft, RunRequest
from resnetctl.config.layers import to_toml
from resnetctl.config.schema import FinetuneConfig, TrainConfig
from resnetctl.engine.distributed import Team
from resnetctl.engine.loop import StepResult
from resnetctl.facts import Doing, Notice, TrainFact
from resnetctl.hints import Call, Hint, Setting, in_shell
from resnetctl.system import storage
from resnetctl.system.settings import Settings
from resnetctl.system.signals import Stop
from resnetctl.training.dry_run import rehearse
from resnetctl.training.environment import describe
from resnetctl.training.job import Job, fresh_state
from resnetctl.training.processes import ready
from resnetctl.training.recorder import checkpoint_bytes, consume
from resnetctl.training.session import Session
from resnetctl.training.timing.budget import choose_length, watched
from resnetctl.training.timing.tune import tune
from resnetctl.training.trackers import tracked

Facts = Iterator[TrainFact | StepResult]


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """How a verb that trains several runs begins one and goes on with one: the tasks of other verbs."""

    start: Callable[..., Any]
    resume: Callable[..., Any]


def require_place(request: RunRequest, settings: Settings) -> Path:
    """Return the folder that will hold the run folder.

    Raises `UsageError` when it cannot be written, or when it already has a run of the requested name.
    """
    folder = request.out or settings.runs_dir
    hints: list[Hint] = [Setting("out", "FOLDER"), "RESNETCTL_RUNS_DIR=FOLDER chooses another place for all runs"]
    storage.require_writable(folder, hint=hints)
    if request.name is not None:
        runs.free_path(folder, request.name)
    return folder


def launch(
    job: Job,
    model: Callable[[], nn.Module],
    *,
    draft: Draft[TrainConfig],
    folder: Path,
    save_first: bool = False,
    team: Team | None = None,
) -> Facts:
    """Choose threads and length by timing if the request asks for it, create the run folder in `folder`, and train.

    A dry run creates no folder.

    Args:
        model: returns the model before the first step, a new one at each call.
        draft: what the job was made of: the rules for another length, and the request.
        save_first: write a checkpoint before the first step. Needed when the config alone cannot recreate the model.
        team: the processes that train. The caller tells them when this fails before the first step.

    Raises:
        UsageError: the budget is too short, or the run folder cannot be created.
        Stopped, WorkFailed: as `consume`.
    """
    began, request = time.monotonic(), draft.request
    job = yield from _choose_by_timing(job, model, draft, began=began)
    state = fresh_state(job, model())
    if request.dry_run:
        yield from rehearse(job, state)
        return
    team = team or Team()
    yield from ready(job, state, team=team)
    run = None
    if team.is_writer:
        run = runs.create(
            folder,
            request.name or runs.automatic_names(folder, arch=job.arch.name, data=job.store.card.name),
            config=config_text(job.config),
            sources=job.origins,
            env=describe(job),
            first=checkpoint_bytes(job, state) if save_first else b"",
        )
    team.agree(is_last=True)
    with run.locked() if run is not None else nullcontext(), Stop() as stop:
        facts = consume(Session.of(job, state, stop=stop, run=run, team=team))
        if request.budget:
            facts = watched(facts, request.budget, began=began)
        yield from tracked(facts, request.track, run=run, config=job.config)


def config_text(config: TrainConfig) -> str:
    """Return the text of the run's own config.toml."""
    verb = "finetune" if isinstance(config, FinetuneConfig) else "train"
    repeat = in_shell(Call(verb, settings={"config": runs.CONFIG}))
    return to_toml(config, f"The whole config of this run. To repeat it: {repeat}")


def _choose_by_timing(
    job: Job, model: Callable[[], nn.Module], draft: Draft[TrainConfig], *, began: float
) -> Generator[Notice, None, Job]:
    """Time steps on states of their own; return the job with the chosen threads and length."""
    request = draft.request
    if not (request.budget or request.tune):
        return job
    yield Doing("timing a few steps first; the run does not keep them")
    if request.tune:
        job = yield from tune(job, fresh_state(job, model()))
    if request.budget:
        job = yield from choose_length(job, model, draft=draft, began=began)
    return job
