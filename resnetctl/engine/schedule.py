"""Learning rate and image size as functions of the step: there is no state to save or to restore wrongly.

The schedules of the core are here: `cosine`, `linear`, `multistep` and `constant`. Each maps a point of the run to a
factor on the peak learning rate.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from resnetctl import registry
from resnetctl.config.arguments import keywords, refusable, with_arguments
from resnetctl.config.schema import ProgressiveConfig, ScheduleConfig
from resnetctl.spec import SchedulePoint


def warmup_steps(warmup: float | str, *, steps: int, steps_per_epoch: int) -> int:
    """Return the number of warm-up steps, at most the whole run.

    `warmup` is a number of epochs, or a share of the run such as `"15%"`.
    """
    if isinstance(warmup, str):
        return min(steps, round(steps * float(warmup.removesuffix("%")) / 100))
    return min(steps, round(warmup * steps_per_epoch))


def factors(schedule: ScheduleConfig) -> Callable[[SchedulePoint], float]:
    """Return the schedule of the config as a function of the point in the run.

    Raises:
        ConfigError: the schedule does not have the arguments in `schedule.args`, or refuses them in a call.
        PluginError: the plugin fails, also in a call of the returned function, or returns no factor in 0..1.
    """
    name, shared = schedule.name, schedule.model_dump(exclude={"name", "args"})
    function = registry.get("schedule", name)
    arguments = keywords(function, shared=shared, args=schedule.args, key="schedule.args", title=f"schedule '{name}'")
    factor = partial(function, **arguments)
    if not registry.distribution_of("schedule", name):
        return factor  # none of the core refuses a value that the config accepts

    def guarded(point: SchedulePoint) -> float:
        with refusable("schedule", name, function=function, args=schedule.args, key="schedule.args"):
            value = factor(point)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            problem = f"it returned {value!r} for {point}, not a factor in 0..1"
            with with_arguments("schedule", name, args=schedule.args):
                raise registry.fault("schedule", name, problem=problem)
        return float(value)

    return guarded


def scale(step: int, *, steps: int, warmup: int, factor: Callable[[SchedulePoint], float]) -> float:
    """Return the factor on the peak learning rate at `step` (0-based) of `steps`: linear warm-up, then the schedule."""
    # warm-up: gradients of random weights are large and norm statistics unreliable, so begin with small updates
    if step < warmup:
        return (step + 1) / warmup
    # after warm-up, a large rate makes progress and a small one at the end lets the weights settle
    return factor(SchedulePoint(step=step, steps=steps, warmup=warmup))


def cosine(point: SchedulePoint, *, final_lr: float = 0.0) -> float:
    """Fall from 1 to `final_lr` along half a cosine wave: slowly, fast, slowly.

    Loshchilov & Hutter 2017, arXiv:1608.03983, without restarts.
    """
    return final_lr + (1 - final_lr) * (1 + math.cos(math.pi * point.done)) / 2


def linear(point: SchedulePoint, *, final_lr: float = 0.0) -> float:
    """Fall from 1 to `final_lr` along a straight line."""
    return 1 - (1 - final_lr) * point.done


def multistep(point: SchedulePoint, *, milestones: Sequence[float] = (0.5, 0.75), gamma: float = 0.1) -> float:
    """Multiply by `gamma` at each milestone, a share of the whole run, as in He et al. 2015, arXiv:1512.03385."""
    return gamma ** sum(point.step >= share * point.steps for share in milestones)


def constant(point: SchedulePoint) -> float:
    """Stay at the peak."""
    return 1.0


def side(step: int, *, steps: int, size: int, progressive: ProgressiveConfig) -> int:
    """Return the side of the images in pixels at `step` (0-based) of `steps`. The last step always has `size`.

    Progressive resizing (fast.ai 2018; parameters as in MosaicML Composer) saves time, because small images are cheap.
    The first `delay_fraction` of the run has images of `initial_scale`, the last `finetune_fraction` has full ones.
    In between the side grows linearly, rounded to a multiple of `size_increment`.
    """
    first, last = progressive.delay_fraction, 1 - progressive.finetune_fraction
    done = step / steps
    if done >= last - 1e-9 or step >= steps - 1:
        return size
    grown = (done - first) / (last - first) if done > first else 0.0
    scale = progressive.initial_scale + (1 - progressive.initial_scale) * grown
    return smaller(scale, size=size, unit=progressive.size_increment)


def smaller(scale: float, *, size: int, unit: int) -> int:
    """Return `scale` times `size` pixels, rounded to a multiple of `unit`; at least `unit`, at most `size`."""
    scaled = size * scale
    return size if scaled == size else min(size, max(unit, unit * round(scaled / unit)))


def stretches(*, steps: int, size: int, progressive: ProgressiveConfig) -> tuple[tuple[int, int], ...]:
    """Return the stretches of steps with one side, in order, as `(first step, side)`."""
    at = partial(side, steps=steps, size=size, progressive=progressive)
    changes = [(0, at(0))]
    while (later := bisect_left(range(steps), changes[-1][1] + 1, key=at)) < steps:
        changes.append((later, at(later)))
    return tuple(changes)


def lengths(sides: Sequence[tuple[int, int]], *, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield the stretches between the steps `start` and `stop` (exclusive), as `(number of steps, side)`."""
    ends = [*(first for first, _ in sides[1:]), stop]
    for (first, pixels), end in zip(sides, ends, strict=True):
        count = min(end, stop) - max(first, start)
        if count > 0:
            yield count, pixels


def work(sides: Sequence[tuple[int, int]], *, start: int, stop: int) -> float:
    """Return the cost of the steps `start` to `stop` (exclusive): the sum of `side ** 2` over them.

    The time of a convolution is proportional to the pixels.
    """
    return sum(count * pixels * pixels for count, pixels in lengths(sides, start=start, stop=stop))
