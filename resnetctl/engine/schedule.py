"""What changes over a run, as closed forms of the step: nothing to save, nothing to be off by one after a resume."""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import partial

from resnetctl.config.schema import ProgressiveConfig, ScheduleConfig


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


def side(step: int, *, steps: int, size: int, progressive: ProgressiveConfig) -> int:
    """Pixels a side of the images at `step` (0-based) of `steps`; the last step has `size` in any case.

    Progressive resizing (fast.ai 2018; the parameters are those of MosaicML Composer): the first `delay_fraction` of
    the run sees images of `initial_scale`, the last `finetune_fraction` full ones, and in between the side grows
    linearly, rounded to a multiple of `size_increment`.
    """
    first, last = progressive.delay_fraction, 1 - progressive.finetune_fraction
    done = step / steps
    if done >= last - 1e-9 or step >= steps - 1:
        return size
    grown = (done - first) / (last - first) if done > first else 0.0
    scale = progressive.initial_scale + (1 - progressive.initial_scale) * grown
    return smaller(scale, size=size, unit=progressive.size_increment)


def smaller(scale: float, *, size: int, unit: int) -> int:
    """`scale` of `size` pixels, rounded to a multiple of `unit`, which is the least; `size` is the most."""
    scaled = size * scale
    return size if scaled == size else min(size, max(unit, unit * round(scaled / unit)))


def stretches(*, steps: int, size: int, progressive: ProgressiveConfig) -> tuple[tuple[int, int], ...]:
    """Where the side of the images changes: `(first step, side)` of each stretch, in order."""
    at = partial(side, steps=steps, size=size, progressive=progressive)
    found = [(0, at(0))]
    while (later := bisect_left(range(steps), found[-1][1] + 1, key=at)) < steps:
        found.append((later, at(later)))
    return tuple(found)


def lengths(sides: Sequence[tuple[int, int]], *, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """The stretches within the steps from `start` to before `stop`, as `(steps, side)`."""
    ends = [*(first for first, _ in sides[1:]), stop]
    for (first, pixels), end in zip(sides, ends, strict=True):
        count = min(end, stop) - max(first, start)
        if count > 0:
            yield count, pixels


def work(sides: Sequence[tuple[int, int]], *, start: int, stop: int) -> float:
    """What the steps from `start` to before `stop` cost, in pixels of one image: a convolution costs by the pixel."""
    return sum(count * pixels * pixels for count, pixels in lengths(sides, start=start, stop=stop))
