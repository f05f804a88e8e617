"""Explaining numbers that are not finite: replay the steps since the last checkpoint, then name step, layer, images."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Sequence

from resnetctl import registry
from resnetctl.config.schema import FinetuneConfig
from resnetctl.data.cards import manifest_names
from resnetctl.engine import checkpoint
from resnetctl.engine.loop import Plan, TrainState
from resnetctl.engine.replay import Origin, find_origin
from resnetctl.errors import NonFinite, ResnetctlError
from resnetctl.runs import RunDir
from resnetctl.system.signals import Stop
from resnetctl.training.checkpoints import newest
from resnetctl.training.job import Job, fresh_model, fresh_state

SHOWN = 5  # images that the error names
USUAL_LR = 0.1  # more than this is not worth another try
MEANING = {
    "pixels": "the policy '{augment}' made pixels that are not finite",
    "targets": "the policy '{augment}' made targets that are not finite",
    "activation": "the output of layer '{layer}' is not finite",
    "gradient": "the gradient of '{layer}' is not finite",
    "weight": "'{layer}' is not finite after the update",
}


def mark(run: RunDir, failure: NonFinite) -> None:
    """Write down that the run failed, so that nobody is told to resume it."""
    with contextlib.suppress(ResnetctlError):  # of a full disk, say: what failed first is told
        run.save_failure(failure.message, failure.problems)


def explain(error: NonFinite, run: RunDir, *, job: Job, state: TrainState, plan: Plan, stop: Stop) -> NonFinite:
    """`error` with where it began, marked in the run; a signal cuts the search short.

    When the steps are finite this time, the mark goes: a resume may succeed. `state` is overwritten, being spoilt.
    """
    snapshot = newest(run).snapshot
    if snapshot is not None:
        checkpoint.restore(state, snapshot)
    else:
        state = fresh_state(job, fresh_model(job))
    origin = find_origin(state, plan, give_up=lambda: bool(stop.signum))
    if origin is not None:
        error = _error(origin, job, run)
        mark(run, error)
        return error
    if stop.signum:
        message = f"{error.message}; stopped before it was found where that began"
        return NonFinite(message, where=str(run.path), hint=_advice(None, job, run))
    with contextlib.suppress(ResnetctlError):
        run.reopen()
    message = f"{error.message}; but the same steps were finite when repeated"
    return NonFinite(message, where=str(run.path), hint=f"resnetctl train --resume {run.quoted}")


def _error(origin: Origin, job: Job, run: RunDir) -> NonFinite:
    what = MEANING[origin.what].format(augment=job.config.augment, layer=origin.layer)
    return NonFinite(
        f"step {origin.step}: {what}",
        where=str(run.path),
        problems=_images(origin.rows, job),
        hint=_advice(origin, job, run),
    )


def _advice(origin: Origin | None, job: Job, run: RunDir) -> list[str]:
    """A resume would take the same steps, so what helps is a new run."""
    kept = [f"resnetctl eval {run.quoted}    measures its weights of before"] if run.weights.is_file() else []
    if origin is not None and origin.what in ("pixels", "targets"):
        return [f"resnetctl plugins check {job.config.augment}", *kept]
    verb = "finetune" if isinstance(job.config, FinetuneConfig) else "train"
    again = f"resnetctl {verb} --config {shlex.quote(str(run.config))} --lr {min(job.config.lr / 10, USUAL_LR):g}"
    foreign = registry.distribution_of("block", job.arch.block)
    checked = [f"resnetctl plugins check {job.arch.block}    as the block is a plugin's"] if foreign else []
    return [again, "a new run; --warmup 5 or --grad-clip 1 may help as well", *checked, *kept]


def _images(rows: Sequence[int], job: Job) -> list[str]:
    names = manifest_names(job.store.path, "train", rows=rows[:SHOWN])
    lines = [f"image train row {row}" + (f" ({names[row]})" if row in names else "") for row in rows[:SHOWN]]
    rest = len(rows) - SHOWN
    return [*lines, *([f"and {rest} more images of the batch"] if rest > 0 else [])]
