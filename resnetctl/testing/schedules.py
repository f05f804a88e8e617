"""The rules of a learning-rate schedule."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch

from resnetctl.spec import SchedulePoint
from resnetctl.testing.findings import Rule, expect

LENGTHS = (1, 2, 7, 100, 64_000)  # steps of a run
WARMUPS = (0.0, 0.05, 0.5)  # shares of it
SAMPLES = 50  # steps of each run

Schedule = Callable[..., Any]


def signature(schedule: Schedule) -> str:
    """It takes the point by position, and keyword arguments with defaults that the config can set."""
    first, *others = inspect.signature(schedule).parameters.values()
    expect(first.kind is not inspect.Parameter.KEYWORD_ONLY, "it takes no point by position")
    wrong = settable(others)
    expect(not wrong, f"these arguments are not keywords with a default of numbers, text or switches: {wrong}")
    return ", ".join(item.name for item in others) or "no arguments"


def settable(parameters: list[inspect.Parameter]) -> str:
    """Return the names of the parameters that the config cannot set."""
    return ", ".join(
        item.name
        for item in parameters
        if item.kind is not inspect.Parameter.KEYWORD_ONLY
        or not isinstance(item.default, bool | int | float | str | tuple)
    )


def factors(schedule: Schedule) -> str:
    """It returns a number in 0..1 at every step of short and long runs, and not always 0."""
    for steps in LENGTHS:
        values = [schedule(point) for point in _points(steps)]
        odd = next((value for value in values if isinstance(value, bool) or not isinstance(value, int | float)), None)
        expect(odd is None, f"it returned {odd!r}, not a number")
        outside = next((value for value in values if not 0 <= value <= 1), None)
        expect(outside is None, f"it returned {outside} in a run of {steps} steps")
        expect(any(values), f"it is 0 at every step of a run of {steps} steps")
    return f"runs of {', '.join(map(str, LENGTHS))} steps"


def stateless(schedule: Schedule) -> str:
    """Its value depends on the point alone: a resumed run begins in the middle."""
    points = [*_points(100)]
    forward = [schedule(point) for point in points]
    torch.manual_seed(1)
    backward = [schedule(point) for point in reversed(points)]
    changed = sum(one != two for one, two in zip(forward, reversed(backward), strict=True))
    expect(not changed, f"{changed} of {len(points)} values changed when asked again in another order")
    return f"{len(points)} points, twice"


def _points(steps: int) -> Iterator[SchedulePoint]:
    for share in WARMUPS:
        warmup = int(share * steps)
        places = {*range(warmup, steps, max(1, steps // SAMPLES)), steps - 1}
        yield from (SchedulePoint(step=step, steps=steps, warmup=warmup) for step in sorted(places))


RULES = {
    "signature": Rule(
        wants="a function of the point, with keywords that the config can set",
        judge=signature,
        fix="def f(point: SchedulePoint, *, power: float = 2.0) -> float, every keyword with a default",
    ),
    "factors": Rule(
        wants="a factor in 0..1 on the peak learning rate, at every step",
        judge=factors,
        fix="divide by max(1, ...) in short runs; return 1 at the peak: the warm-up and the peak are set elsewhere",
    ),
    "stateless": Rule(
        wants="a value that depends on the point alone",
        judge=stateless,
        fix="compute from point.step, point.steps and point.done; keep no counter and draw no random numbers",
    ),
}
