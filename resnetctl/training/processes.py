"""What several processes do before the first step: compare what they train, and choose how gradients are summed."""

import hashlib
import json
from collections.abc import Iterator

from resnetctl.config.digest import config_sha256
from resnetctl.config.shards import require_division
from resnetctl.engine.checkpoint import machine_facts
from resnetctl.engine.distributed import FAST_BYTES, Team
from resnetctl.engine.loop import TrainState
from resnetctl.facts import Notice
from resnetctl.hints import Setting
from resnetctl.models.multiply_adds import multiply_adds
from resnetctl.system.machine import cores_granted
from resnetctl.training.job import Job
from resnetctl.wording import counted

ORDERED_SECONDS, FAST_SECONDS = 1.2e-9, 0.7e-9  # for a byte that gloo sends on one machine: docs/how-to/scale.md
STEP_MACS = 3 * 1.0e-10  # seconds of a core for a multiply-add of a training step: forward and backward are three


def ready(job: Job, state: TrainState, *, team: Team) -> Iterator[Notice]:
    """Compare config, data, versions and first weights of all processes; yield how gradients are summed.

    Raises:
        UsageError: the processes differ, or cannot share the shards evenly.
        PeerFailed: another process failed.
    """
    if team.size == 1:
        return
    require_division(job.config.shards, team.size)
    team.agree(
        {
            "config": config_sha256(job.config, job.weights_sha256),
            "data": json.dumps(dict(job.store.card.digests), sort_keys=True),
            "versions": json.dumps(
                [
                    machine_facts(device=str(job.device), precision=job.config.precision),
                    dict(job.card({}).plugins.used),
                ],
                sort_keys=True,
            ),
            "first weights": f"{state.step} {_weights_digest(state)}",
        }
    )
    yield from _sums(state, team)
    yield from _slower(job, state, team)


def _weights_digest(state: TrainState) -> str:
    digest = hashlib.sha256()
    for name, value in state.model.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _gradient_bytes(state: TrainState) -> int:
    return sum(each.nbytes for each in state.model.parameters() if each.requires_grad)


def _sums(state: TrainState, team: Team) -> Iterator[Notice]:
    """Set whether the team sums in shard order, and yield a notice if it does not."""
    size = _gradient_bytes(state)
    team.is_ordered = team.reduce == "ordered" or (team.reduce == "auto" and size <= FAST_BYTES)
    if not team.is_ordered:
        yield Notice(
            f"gradients of {size / 1e6:,.0f} MB are summed in the fastest order: "
            "the result depends on the number of processes",
            hint=(Setting("reduce", "ordered", note="gives the bytes of one process, and takes longer"),),
        )


def _slower(job: Job, state: TrainState, team: Team) -> Iterator[Notice]:
    """Yield a notice if one process would be faster: too few cores, or messages that take longer than they save."""
    local, cores = team.local_size, cores_granted()
    if job.device.type != "cpu":
        return
    if local * job.config.threads > cores:
        yield Notice(
            f"{counted(local, 'process')} with {counted(job.config.threads, 'thread')} each share "
            f"{counted(cores, 'core')}: fewer processes are faster",
            hint=(Setting("processes", max(1, cores // job.config.threads)),),
        )
        return
    images = min(job.config.batch_size, len(job.train))
    saved = images * (1 - 1 / team.size) * multiply_adds(job.arch, job.image.size) * STEP_MACS
    sent = _gradient_bytes(state) * (job.config.shards * ORDERED_SECONDS if team.is_ordered else FAST_SECONDS)
    if sent > saved:
        yield Notice(
            f"one process may be faster: messages of {_gradient_bytes(state) / 1e6:,.1f} MB take about "
            f"{1000 * sent:,.1f} ms a step, and {counted(team.size, 'process')} save about {1000 * saved:,.1f} ms",
            hint=(Setting("batch_size", note="a larger one gives each process more to do"),),
        )
