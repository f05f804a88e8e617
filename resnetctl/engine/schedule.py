"""The learning rate as a closed form of the step: nothing to save, nothing to be off by one after a resume."""

import math

from resnetctl.config.models import ScheduleConfig


def warmup_steps(warmup: float | str, *, steps: int, steps_per_epoch: int) -> int:
    """Steps of warm-up: `warmup` is in epochs, or a share of the run such as `"15%"`. At most the whole run."""
    if isinstance(warmup, str):
        return min(steps, round(steps * float(warmup.removesuffix("%")) / 100))
    return min(steps, round(warmup * steps_per_epoch))


def scale(step: int, *, steps: int, warmup: int, schedule: ScheduleConfig) -> float:
    """The factor on the peak learning rate at `step` (0-based) of `steps`.

    Warm-up is linear and ends on 1. Then: `cosine` (Loshchilov & Hutter 2017, arXiv:1608.03983, without restarts)
    and `linear` fall to `final_lr` over what remains; `multistep` multiplies by `gamma` from each milestone, a
    share of the whole run, as He et al. 2015 count; `constant` stays.
    """
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    if schedule.name == "cosine":
        return schedule.final_lr + (1 - schedule.final_lr) * (1 + math.cos(math.pi * min(1.0, done))) / 2
    if schedule.name == "linear":
        return 1 - (1 - schedule.final_lr) * min(1.0, done)
    if schedule.name == "multistep":
        return schedule.gamma ** sum(step >= share * steps for share in schedule.milestones)
    return 1.0
