"""`train` from scratch, and `resume` of any run."""

import dataclasses
import time
import tomllib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from resnetctl import registry, runs
from resnetctl.config.defaults import final_arch, suited
from resnetctl.config.layers import Layer, from_environment, merge, resolve, to_toml
from resnetctl.config.schema import FinetuneConfig, TrainConfig
from resnetctl.data.store import open_store
from resnetctl.engine import checkpoint
from resnetctl.engine.device import pick_device
from resnetctl.engine.loop import StepResult, TrainState
from resnetctl.errors import ConfigError, UsageError, WeightsError
from resnetctl.facts import Finished, Notice, Progress, TrainFact
from resnetctl.models.resnet import ResNet, build
from resnetctl.spec import Arch, ImageSpec
from resnetctl.system import storage
from resnetctl.system.settings import Settings
from resnetctl.system.signals import Stop
from resnetctl.tasks import config as configs
from resnetctl.tasks import datasets as data_task
from resnetctl.tasks.datasets import scratch
from resnetctl.training.budget import fit_budget
from resnetctl.training.checkpoints import card_of, differences, facts_then, newest
from resnetctl.training.dry_run import rehearse
from resnetctl.training.environment import describe
from resnetctl.training.job import Job, fresh_model, fresh_state, make_plan, resized, settle, suited_layer
from resnetctl.training.recorder import checkpoint_bytes, consume
from resnetctl.training.tune import tune
from resnetctl.weights.file import require_plugins

Facts = Iterator[TrainFact | StepResult]


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """What was said: `layers` from the weakest to the strongest; `out` is where run folders are made.

    `budget` is the wall time in seconds that decides how long to train, 0 leaves it to the config; `tune` lets trials
    choose the threads.
    """

    layers: Sequence[Layer]
    name: str | None = None
    out: Path | None = None
    dry_run: bool = False
    budget: float = 0.0
    tune: bool = False


def train(request: TrainRequest, settings: Settings) -> Facts:
    """Train from scratch; yields facts and ends with `Finished` (a dry run ends with its estimate).

    Raises:
        UsageError, ConfigError: before anything is fetched or written.
        DataError: the data cannot be had.
        Stopped, WorkFailed: as `consume`.
    """
    folder = runs_folder(request, settings)
    draft = resolve(TrainConfig, [from_environment(settings), *request.layers]).config
    configs.require_free(request.layers, budget=bool(request.budget), tune=request.tune)
    with scratch(settings, draft.data, dry_run=request.dry_run) as where:
        job = yield from prepare(draft, request.layers, settings=where)
        job = yield from by_trial(job, partial(fresh_model, job), budget=request.budget, tuned=request.tune)
        state = fresh_state(job, fresh_model(job))
        yield from rehearse(job, state) if request.dry_run else launch(job, state, folder=folder, name=request.name)


def runs_folder(request: TrainRequest, settings: Settings) -> Path:
    """Where the run folder will be made. Raises `UsageError` when that is impossible, or the name is taken."""
    folder = request.out or settings.runs_dir
    storage.require_writable(folder, hint="--out FOLDER or RESNETCTL_RUNS_DIR=FOLDER chooses another place")
    if request.name is not None:
        runs.free_path(folder, request.name)
    return folder


def prepare(
    draft: TrainConfig, layers: Sequence[Layer], *, settings: Settings
) -> Generator[Notice | Progress, None, Job]:
    """The job that `layers` describe, with its data fetched; `draft` is what they say without what the data suggest.

    Raises `UsageError`, `ConfigError` before anything is fetched, `DataError` when the data cannot be had.
    """
    registry.find("block", final_arch(draft.model).block)
    if "augment" in merge(layers).values:
        registry.find("policy", draft.augment)
    pick_device(draft.device)
    name = yield from data_task.ensure(draft.data, settings)
    store = open_store(settings.data_dir, name)
    defaults = suited_layer(suited(final_arch(draft.model), store.card))
    resolved = resolve(type(draft), [defaults, from_environment(settings), *layers])
    config = resolved.config
    image = resized(store.card.image, config.size)
    return settle(config, resolved.origins, arch=final_arch(config.model), image=image, store=store)


def by_trial(job: Job, model: Callable[[], ResNet], *, budget: float, tuned: bool) -> Generator[Notice, None, Job]:
    """The job with what `--tune` and `--budget` find out by timing. What `model` makes is trained on and forgotten."""
    began = time.monotonic()
    if not (budget or tuned):
        return job
    yield Notice("timing steps of this run that are not kept")
    state = fresh_state(job, model())
    if tuned:
        job = yield from tune(job, state)
    if budget:
        job = yield from fit_budget(job, state, budget=budget, began=began)
    return job


def launch(job: Job, state: TrainState, *, folder: Path, name: str | None, save_first: bool = False) -> Facts:
    """Make the run's folder and train. With `save_first` there is a checkpoint before the first step."""
    run = runs.create(
        folder,
        name or runs.automatic_name(folder, arch=job.arch.name, data=job.store.card.name),
        config=to_toml(job.config, "resnetctl train --config THIS FILE repeats the run"),
        sources=job.origins,
        env=describe(job),
        first=checkpoint_bytes(job, state) if save_first else b"",
    )
    with run.locked(), Stop() as stop:
        plan = make_plan(job, stop)
        yield from consume(run, job, state=state, plan=plan, stop=stop)


def resume(
    target: str | Path,
    *,
    settings: Settings,
    epochs: int | None = None,
    exact: bool = False,
    device: str | None = None,
) -> Facts:
    """Go on with a run from its newest valid checkpoint, reading only the run's own config.

    A finished run is said to be finished, unless `epochs` extends it. `exact` refuses when the result could not be
    that of the uninterrupted run.

    Raises:
        UsageError: the run is in use, or `exact` cannot be kept.
        InputError: no such run, or it cannot be read.
        PluginError: a distribution that the run used is not installed.
    """
    run = runs.find(target, settings.runs_dir)
    with run.locked():
        summary = run.summary()
        config = read_config(run)
        if summary is not None and (epochs is None or epochs <= config.epochs):
            yield Notice(f"{run.path} is finished after {summary['epochs']} epochs; --epochs N goes on to N")
            yield Finished(run=run.path, summary=summary)
            return
        config, origins = _extended(run, config, epochs=epochs, device=device)
        found = newest(run)
        snapshot = found.snapshot
        if snapshot is not None:
            require_plugins(card_of(snapshot), run.path, resuming=True)
        yield from found.notices
        if (failure := run.failure()) is not None:
            yield Notice(
                f"the run failed before ({failure or 'why cannot be read'}): the same steps end in the same way"
            )
        job, state = _rebuild(config, origins, snapshot, settings)
        if snapshot is not None:
            yield from _differences(snapshot, job, exact=exact)
            checkpoint.restore(state, snapshot)
        run.reopen()  # before the config says more epochs: a kill in between must not leave it "finished"
        if epochs is not None or device is not None:
            yield from _announce(job, state, run)
        run.truncate(state.epochs)
        for name in found.corrupt:
            run.drop_checkpoint(name)
        with Stop() as stop:
            yield from consume(run, job, state=state, plan=make_plan(job, stop), stop=stop)


def read_config(run: runs.RunDir) -> TrainConfig:
    """The run's own config: of `finetune` where it starts from weights. Raises `ConfigError`."""
    try:
        values: dict[str, Any] = tomllib.loads(run.config.read_text(encoding="utf-8"))
        kind = FinetuneConfig if "weights" in values else TrainConfig
        return kind.model_validate(values)
    except (OSError, ValueError) as error:
        raise ConfigError(f"the run's config cannot be read: {error}", where=str(run.config)) from None


def _extended(
    run: runs.RunDir, config: TrainConfig, *, epochs: int | None, device: str | None
) -> tuple[TrainConfig, dict[str, str]]:
    origins = run.sources()
    if epochs is not None:
        config = config.model_copy(update={"epochs": epochs, "steps": 0})
        origins |= {"epochs": "flag --epochs", "steps": "flag --epochs"}
    if device is not None:
        config = config.model_copy(update={"device": device, "precision": "auto"})
        origins |= {"device": "flag --device"}
    return config, origins


def _rebuild(
    config: TrainConfig, origins: dict[str, str], snapshot: checkpoint.Snapshot | None, settings: Settings
) -> tuple[Job, TrainState]:
    store = open_store(settings.data_dir, config.data)
    arch: Arch = final_arch(config.model) if snapshot is None else card_of(snapshot).arch
    image: ImageSpec = resized(store.card.image, config.size) if snapshot is None else card_of(snapshot).image
    job = settle(config, origins, arch=arch, image=image, store=store)
    if snapshot is None:
        if isinstance(config, FinetuneConfig):
            raise WeightsError("the run has no checkpoint to go on from", hint="resnetctl finetune starts again")
        return job, fresh_state(job, fresh_model(job))
    if card_of(snapshot).trained_on.get("digest") != store.card.digests.get("train"):
        raise WeightsError(
            f"the dataset '{config.data}' is not the one that the run began with",
            where=str(store.path),
            hint="restore the old store, or start a new run",
        )
    job = dataclasses.replace(job, weights_sha256=str(snapshot.card.get("weights_sha256", "")))
    model = build(
        arch,
        classes=len(job.classes),
        image=image,
        dropout=config.model.dropout,
        drop_path=config.model.drop_path,
    )
    return job, fresh_state(job, model)


def _differences(snapshot: checkpoint.Snapshot, job: Job, *, exact: bool) -> Iterator[Notice]:
    now = {**checkpoint.machine_facts(), **dict(job.card({}).plugins.used)}
    changed = differences(facts_then(snapshot), now)
    if changed and exact:
        raise UsageError("an exact resume is not possible here", problems=changed, hint="without --exact it goes on")
    if changed:
        yield Notice("the result will not be bit for bit that of an uninterrupted run: " + ", ".join(changed))


def _announce(job: Job, state: TrainState, run: runs.RunDir) -> Iterator[Notice]:
    run.save_config(to_toml(job.config, "resnetctl train --config THIS FILE repeats the run"), job.origins)
    plan = make_plan(job, Stop())
    images = f" and images of {plan.side(state.step)} px" if len(job.sides) > 1 else ""
    yield Notice(
        f"the schedule ({job.config.schedule.name}) is drawn anew over {job.steps} steps: "
        f"it goes on at step {state.step} with lr {plan.learning_rate(state.step):.4g}{images}"
    )
