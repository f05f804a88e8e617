"""`resume`: go on with a run from its newest whole checkpoint. The result has the bytes of an uninterrupted run."""

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

import resnetctl.runs as runs
from resnetctl.config.defaults import final_arch
from resnetctl.config.layers import Resolved
from resnetctl.config.schema import FinetuneConfig, TrainConfig
from resnetctl.data.images import resized
from resnetctl.data.store import Store, open_store
from resnetctl.engine import checkpoint
from resnetctl.engine.checkpoint import Snapshot
from resnetctl.engine.distributed import Team
from resnetctl.engine.hardware.device import pick_device
from resnetctl.engine.loop import TrainState
from resnetctl.errors import ResnetctlError, UsageError, WeightsError
from resnetctl.facts import Finished, Notice
from resnetctl.hints import Call, Setting
from resnetctl.registry.code import code_digests, edited
from resnetctl.runs import RunDir
from resnetctl.runs.trackers import trackers_of
from resnetctl.runs.used_plugins import UsedPlugins
from resnetctl.system.machine import bf16_instructions
from resnetctl.system.settings import Settings
from resnetctl.system.signals import Stop
from resnetctl.tasks import sources
from resnetctl.training.job import Job, fresh_model, fresh_state, settle
from resnetctl.training.launch import Facts, config_text
from resnetctl.training.newest_checkpoint import Newest, card_of, differences, facts_then, newest
from resnetctl.training.plan import make_plan
from resnetctl.training.processes import ready
from resnetctl.training.recorder import consume
from resnetctl.training.session import Session
from resnetctl.training.trackers import tracked
from resnetctl.weights.checks import check_keys
from resnetctl.weights.file import NamedWeights
from resnetctl.weights.plugins import OTHER_CODE, explained, require_plugins
from resnetctl.wording import counted

ORIGIN = "resume"  # the origin of config values that a resume changes


@dataclass(frozen=True, kw_only=True)
class Change:
    """What the caller of `resume` asks for, with its argument names."""

    epochs: int | None
    exact: bool
    device: str | None


def resume(
    target: str | Path,
    *,
    settings: Settings,
    epochs: int | None = None,
    exact: bool = False,
    device: str | None = None,
    team: Team | None = None,
) -> Facts:
    """Go on with a run from its newest whole checkpoint, reading only the run's own config.

    Args:
        epochs: a new length, more than the run has trained. A finished run goes on only with more than it has.
        exact: refuse if the result could differ from that of an uninterrupted run.
        device: a device other than the run's own.
        team: the processes that train; each of them calls this, and process 0 holds and writes the run.

    Raises:
        UsageError: `epochs` is no positive integer or leaves nothing to train, the run is in use, or an exact resume is
            not possible here.
        InputError: there is no such run, or it cannot be read.
        PluginError: a distribution that the run used is not installed.
    """
    if epochs is not None:
        if not isinstance(epochs, Integral) or epochs < 1:
            raise UsageError(f"a run trains on to a whole number of epochs, not {epochs!r}", where=Setting("epochs"))
        epochs = int(epochs)  # numpy has integers of its own
    team = team or Team()
    with team.preparing():
        run = runs.find(target, settings.runs_dir)
        with run.locked() if team.is_writer else nullcontext():
            yield from _go_on(run, Change(epochs=epochs, exact=exact, device=device), settings=settings, team=team)


def _go_on(run: RunDir, change: Change, *, settings: Settings, team: Team) -> Facts:
    """Read the newest checkpoint and train on. Every process of the team reads; process 0 writes."""
    epochs, summary, config = change.epochs, run.summary(whole=True), run.read_config()
    if summary is not None and epochs is not None and epochs < summary["epochs"]:
        raise _too_few(epochs, run, counted(summary["epochs"], "epoch"), least=summary["epochs"] + 1)
    if summary is not None and (epochs is None or epochs <= config.epochs):
        longer = Setting("epochs", "N", note="trains on to N epochs")
        yield Notice(f"{run.path} is finished after {counted(summary['epochs'], 'epoch')}", hint=(longer,))
        yield Finished(run=run.path, summary=summary)
        return
    checkpoints = newest(run)
    if checkpoints.snapshot is not None:
        require_plugins(card_of(checkpoints.snapshot), run.path, resuming=True)
    yield from checkpoints.notices
    yield from _failure(run)
    job, state = _restored(run, _changed(config, run.sources(), change), checkpoints, settings=settings)
    yield from ready(job, state, team=team)
    code = [f"the code of {name} was changed" for name in edited(run.plugins_at(state.step).code)]
    yield from _differences(checkpoints.snapshot, job, code, exact=change.exact, world_size=team.world_size)
    if epochs is not None and epochs != config.epochs and job.steps <= state.step:
        least = state.step // job.steps_per_epoch + 1
        done = f"{counted(state.step, 'step')} ({job.steps_per_epoch} per epoch)"
        raise _too_few(epochs, run, done, least=least)
    if team.is_writer:
        run.reopen()  # before the config gets more epochs: after a kill in between, the run must not be "finished"
        if epochs is not None or change.device is not None:
            yield from _save_config(job, state, run)
        run.truncate(state.epochs)
        run.save_plugins(_other_plugins(run, job, state), step=state.step)
        for name in checkpoints.corrupt:
            run.checkpoints.drop(name)
    team.agree(is_last=True)
    with Stop() as stop:
        written = run if team.is_writer else None
        facts = consume(Session.of(job, state, stop=stop, run=written, team=team))
        yield from tracked(facts, trackers_of(run), run=written, config=job.config, epoch=state.epochs)


def _too_few(epochs: int, run: RunDir, done: str, *, least: int) -> UsageError:
    """Return the error for a length that the run already has: it would train nothing and cut its own schedule."""
    return UsageError(
        f"{counted(epochs, 'epoch')} would leave nothing to train: the run has trained {done}",
        where=Setting("epochs"),
        hint=[
            Setting("epochs", least, note="is the smallest number that continues training"),
            Call("train", settings={"resume": run.path}, note="keeps the length of the run"),
        ],
    )


def _failure(run: RunDir) -> Iterator[Notice]:
    failure = run.failure()
    if failure is not None:
        reason = failure or "the reason cannot be read"
        yield Notice(f"the run failed before ({reason}): the same steps end in the same way")


def _changed(config: TrainConfig, origins: dict[str, str], change: Change) -> Resolved[TrainConfig]:
    """Return the run's config with another length or device. Raises `UsageError`: its precision is impossible here."""
    epochs, device = change.epochs, change.device
    if epochs is not None:
        config = config.model_copy(update={"epochs": epochs, "steps": 0})
        origins = origins | {"epochs": ORIGIN, "steps": ORIGIN}
    lacks_bf16 = config.device == "cpu" and config.precision == "bf16" and not bf16_instructions()
    if device is not None:
        place = str(pick_device(device))
        is_as_before = place.partition(":")[0] == config.device.partition(":")[0] and not lacks_bf16
        again = {} if is_as_before else {"precision": "auto", "graph": "auto"}
        config = config.model_copy(update={"device": place, **again})
        origins = origins | {"device": ORIGIN}
    elif lacks_bf16:
        raise UsageError(
            "the run trains in bf16, and this processor has no bf16 arithmetic",
            where=Setting("device"),
            hint=Setting("device", "cpu", note="goes on in fp32, not bit for bit"),
        )
    return Resolved(config=config, origins=origins)


def _restored(
    run: RunDir, resolved: Resolved[TrainConfig], checkpoints: Newest, *, settings: Settings
) -> tuple[Job, TrainState]:
    """Return the job and the state of the snapshot, or those before the first step."""
    store = open_store(settings.data_dir, resolved.config.data)
    teacher = sources.open_teacher(resolved.config.distill, settings, origin=str(run.config))
    snapshot, path = checkpoints.snapshot, checkpoints.path or run.path
    if snapshot is None:
        return _from_start(resolved, store, teacher)
    _require_same_data(snapshot, store)
    try:
        job = _job_of(snapshot, resolved, store, teacher=teacher)
        state = fresh_state(job, fresh_model(job))
        check_keys(snapshot.trained, state.model.state_dict(), path=path, hint=OTHER_CODE)
        checkpoint.restore(state, snapshot)
    except ResnetctlError as error:
        error.where = error.where or str(path)
        raise explained(error, card_of(snapshot), path=path, code=run.plugins_at(snapshot.step).code) from error
    return job, state


def _from_start(resolved: Resolved[TrainConfig], store: Store, teacher: NamedWeights | None) -> tuple[Job, TrainState]:
    """Return the job and the state of a run that stopped before its first checkpoint."""
    config = resolved.config
    if isinstance(config, FinetuneConfig):
        raise WeightsError(
            "the run has no checkpoint to go on from", hint=Call("finetune", settings={"data": config.data})
        )
    image = resized(store.card.image, config.size)
    job = settle(resolved, store, arch=final_arch(config.model), image=image, teacher=teacher)
    return job, fresh_state(job, fresh_model(job))


def _require_same_data(snapshot: Snapshot, store: Store) -> None:
    if card_of(snapshot).trained_on.get("digest") != store.card.digests.get("train"):
        raise WeightsError(
            f"the dataset '{store.card.name}' has changed since the run began",
            where=str(store.path),
            hint="restore the old dataset, or start a new run",
        )


def _job_of(snapshot: Snapshot, resolved: Resolved[TrainConfig], store: Store, *, teacher: NamedWeights | None) -> Job:
    """Return the job of a checkpoint."""
    card = card_of(snapshot)
    job = settle(resolved, store, arch=card.arch, image=card.image, teacher=teacher, head=card.head)
    start = str(snapshot.card.get("weights_sha256", ""))
    return dataclasses.replace(job, weights_sha256=start, channels=card.channels, val_seen=card.val_seen)


def _differences(
    snapshot: Snapshot | None, job: Job, code: Sequence[str], *, exact: bool, world_size: int
) -> Iterator[Notice]:
    """Yield what changed since the checkpoint, on this machine or in the `code` of plugins.

    Raises `UsageError` then if the resume must be exact.
    """
    if snapshot is None:
        return
    now = checkpoint.machine_facts(world_size, device=str(job.device), precision=job.config.precision) | dict(
        job.card({}).plugins.used
    )
    changed = [*differences(facts_then(snapshot), now), *code]
    if job.device.type == "cuda" and not job.config.exact:
        changed.append("the run began without exact, so CUDA kernels may sum in any order")
    if changed and exact:
        raise UsageError(
            "on this machine a resume would not be bit-identical",
            where=Setting("exact"),
            problems=changed,
            hint="without exact the run goes on",
        )
    if changed:
        yield Notice("the result will not be bit-identical to that of an uninterrupted run: " + ", ".join(changed))


def _other_plugins(run: RunDir, job: Job, state: TrainState) -> UsedPlugins | None:
    """Return the plugins that train from now on; None if they are those that trained to this step, or not recorded."""
    then, now = run.plugins_at(state.step), job.card({}).plugins.used
    is_other_version = any(now.get(name, version) != version for name, version in then.plugins.items())
    if not is_other_version and not edited(then.code, by_process=True):
        return None
    return UsedPlugins(epoch=state.epochs + 1, step=state.step, plugins=dict(now), code=code_digests(now))


def _save_config(job: Job, state: TrainState, run: RunDir) -> Iterator[Notice]:
    """Write the changed config into the run folder, and yield what it does to the schedule."""
    run.save_config(config_text(job.config), job.origins)
    plan = make_plan(job, Stop())
    images = f" and images of {plan.side(state.step)} px" if len(job.sides) > 1 else ""
    yield Notice(
        f"the schedule ({job.config.schedule.name}) now covers {job.steps} steps: "
        f"the run goes on at step {state.step} with lr {plan.learning_rate(state.step):.4g}{images}"
    )
