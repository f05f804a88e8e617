"""Explain a NaN or an infinity: replay the steps since the last checkpoint, then name step, layer and images."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence

from resnetctl import registry
from resnetctl.config.arguments import check
from resnetctl.config.schema import FinetuneConfig
from resnetctl.data.cards import manifest_names
from resnetctl.engine import checkpoint
from resnetctl.engine.distributed import Team
from resnetctl.engine.nonfinite import Origin, find_origin
from resnetctl.errors import NonFinite, ResnetctlError
from resnetctl.hints import Call, Hint, Setting
from resnetctl.runs import RunDir
from resnetctl.training.job import Job, fresh_model, fresh_state
from resnetctl.training.newest_checkpoint import newest
from resnetctl.training.session import Session
from resnetctl.wording import counted

SHOWN = 5  # images named in the error
USUAL_LR = 0.1  # suggest no learning rate above this
MEANING = {
    "pixels": "the policy '{augment}' made pixels that are not finite",
    "targets": "the policy '{augment}' made targets that are not finite",
    "activation": "the output of layer '{layer}' is not finite",
    "gradient": "the gradient of '{layer}' is not finite",
    "weight": "'{layer}' is not finite after the update",
}


def mark(run: RunDir, failure: NonFinite) -> None:
    """Record in the run folder that the run failed, so that no hint suggests to resume it."""
    with contextlib.suppress(ResnetctlError):  # e.g. a full disk: report the first error, not this one
        run.save_failure(failure.message, failure.problems)


def explain(error: NonFinite, session: Session) -> NonFinite:
    """Return an error that names the first number that was not finite, and mark the run with it.

    If the replayed steps are finite this time, remove the mark: a resume may succeed. A signal stops the search.
    Overwrites the state of `session`.
    """
    job, state, run = session.job, session.state, session.run
    assert run is not None
    snapshot = newest(run).snapshot
    if snapshot is not None:
        checkpoint.restore(state, snapshot)
    else:
        state = fresh_state(job, fresh_model(job))
    alone = dataclasses.replace(session.plan, team=Team())  # the other processes are gone
    origin = find_origin(state, alone, give_up=lambda: bool(session.stop.signum))
    if origin is not None:
        error = _error(origin, job, run)
        mark(run, error)
        return error
    if session.stop.signum:
        message = f"{error.message}; the search for its beginning was stopped"
        return NonFinite(message, where=str(run.path), hint=_advice(None, job, run))
    with contextlib.suppress(ResnetctlError):
        run.reopen()
    message = f"{error.message}; but the same steps were finite when repeated"
    return NonFinite(message, where=str(run.path), hint=Call("train", settings={"resume": run.path}))


def _error(origin: Origin, job: Job, run: RunDir) -> NonFinite:
    meaning = MEANING[origin.kind].format(augment=job.config.augment, layer=origin.layer)
    return NonFinite(
        f"step {origin.step}: {meaning}",
        where=str(run.path),
        problems=_images(origin.rows, job),
        hint=_advice(origin, job, run),
    )


def _advice(origin: Origin | None, job: Job, run: RunDir) -> list[Hint]:
    """Return what to try. Only a new run helps: a resume would repeat the same steps."""
    good = [Call("eval", (run.path,), note="measures the last good weights")] if run.weights.is_file() else []
    if origin is not None and origin.kind in ("pixels", "targets"):
        return [check("policy", job.config.augment, args=job.config.augment_args), *good]
    verb = "finetune" if isinstance(job.config, FinetuneConfig) else "train"
    lr = min(job.config.lr / 10, USUAL_LR)
    again = Call(verb, settings={"config": str(run.config), "lr": lr}, note="a new run")
    clip = Setting("grad_clip", 1, note="or a longer warm-up may help as well")
    blocks = []
    if registry.distribution_of("block", job.arch.block):
        blocks = [check("block", job.arch.block, args=job.arch.block_args, note="the block comes from a plugin")]
    return [again, clip, *blocks, *good]


def _images(rows: Sequence[int], job: Job) -> list[str]:
    names = manifest_names(job.store.path, "train", rows=rows[:SHOWN])
    lines = [f"image train row {row}" + (f" ({names[row]})" if row in names else "") for row in rows[:SHOWN]]
    rest = len(rows) - SHOWN
    return [*lines, *([f"and {counted(rest, 'more image')} of the batch"] if rest > 0 else [])]
