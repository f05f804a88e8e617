"""Explaining numbers that are not finite: replay the steps since the last checkpoint, then name step, layer, images."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from resnetctl.config.models import FinetuneConfig
from resnetctl.data.cards import manifest_names
from resnetctl.engine import checkpoint
from resnetctl.engine.loop import Plan, TrainState
from resnetctl.engine.replay import Origin, find_origin
from resnetctl.errors import NonFinite
from resnetctl.runs import RunDir
from resnetctl.tasks.job import Job, fresh_model, fresh_state
from resnetctl.tasks.snapshots import newest
from resnetctl.tasks.stopping import Stop

SHOWN = 5  # images that the error names
USUAL_LR = 0.1  # more than this is not worth another try
MEANING = {
    "pixels": "the policy '{augment}' made pixels that are not finite",
    "targets": "the policy '{augment}' made targets that are not finite",
    "activation": "the output of layer '{layer}' is not finite",
    "gradient": "the gradient of '{layer}' is not finite",
    "weight": "'{layer}' is not finite after the update",
}


def explain(run: RunDir, job: Job, *, state: TrainState, plan: Plan, stop: Stop) -> NonFinite | None:
    """The error that says where it began; None when the replay stays finite, or a signal cuts it short.

    `state` is overwritten: it is spoilt anyway.
    """
    snapshot = newest(run).snapshot
    if snapshot is not None:
        checkpoint.restore(state, snapshot)
    else:
        state = fresh_state(job, fresh_model(job))
    origin = find_origin(state, plan, give_up=lambda: bool(stop.signum))
    return None if origin is None else _error(origin, job, run)


def _error(origin: Origin, job: Job, run: RunDir) -> NonFinite:
    what = MEANING[origin.what].format(augment=job.config.augment, layer=origin.layer)
    return NonFinite(
        f"step {origin.step}: {what}",
        where=str(run.path),
        problems=_images(origin.rows, job),
        hint=_advice(origin, job, run),
    )


def _advice(origin: Origin, job: Job, run: RunDir) -> list[str]:
    """A resume would take the same steps, so what helps is a new run."""
    kept = [f"resnetctl eval {run.path}    measures its weights of before"] if run.weights.is_file() else []
    if origin.what in ("pixels", "targets"):
        return [f"resnetctl plugins check {job.config.augment}", *kept]
    verb = "finetune" if isinstance(job.config, FinetuneConfig) else "train"
    again = f"resnetctl {verb} --config {shlex.quote(str(run.config))} --lr {min(job.config.lr / 10, USUAL_LR):g}"
    return [again, "a new run; --warmup 5 or --grad-clip 1 may help as well", *kept]


def _images(rows: Sequence[int], job: Job) -> list[str]:
    names = manifest_names(job.store.path, "train", rows=rows[:SHOWN])
    lines = [f"image train row {row}" + (f" ({names[row]})" if row in names else "") for row in rows[:SHOWN]]
    rest = len(rows) - SHOWN
    return [*lines, *([f"and {rest} more images of the batch"] if rest > 0 else [])]
