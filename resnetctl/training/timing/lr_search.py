"""Find a learning rate: train a discarded state while the rate rises, and look at the loss.

The range test of Smith 2017, arXiv:1506.01186: at small rates the loss stays, then it falls, then it explodes. The
proposal is the rate at which it falls fastest. Its lowest point is too high for a whole run, above all with Adam, whose
steps have one size whatever the gradient.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import ClassVar

from resnetctl.engine.loop import Plan, StepResult, TrainState, fit, not_finite
from resnetctl.errors import NonFinite
from resnetctl.facts import Progress
from resnetctl.report.base import Report
from resnetctl.report.curves import Curves
from resnetctl.report.page import curve_file
from resnetctl.system.signals import Stop
from resnetctl.training.job import Job
from resnetctl.training.plan import make_plan

LOWEST, HIGHEST = 1e-6, 10.0  # rates
STEPS = 140  # 20 for each power of ten
WINDOW = 0.25  # powers of ten on both sides, over which the fall of the loss is taken
HARDLY = 0.98  # times the first loss: a lower one is a fall
FEWEST, SECONDS = 70, 120.0  # fewer steps where they are slow; the whole search takes about this long
SMOOTHING = 0.9  # share of the past in the average of the loss
EXPLODED = 2.0  # times the lowest loss
TIMED = 3  # steps, the first is the slowest
NOT_FINITE = "the loss was no longer finite"
ROWS = 15  # of the table


@dataclass(frozen=True, kw_only=True)
class LrPoint:
    """One step: its learning rate, its loss, and the moving average of the losses so far."""

    lr: float
    loss: float
    smooth: float


@dataclass(frozen=True, kw_only=True)
class LrReport(Report):
    """The curve of the loss over rising learning rates.

    Attributes:
        proposal: the rate at which the smooth loss falls fastest, of two digits; None where it hardly falls.
        lowest: the rate with the lowest smooth loss.
        stopped: why the search ended before the highest rate; "" if it did not.
    """

    schema: ClassVar[str] = "resnetctl.train.lr/1"
    proposal: float | None
    lowest: float
    stopped: str
    batch_size: int
    optimizer: str
    points: tuple[LrPoint, ...]

    def plot(self) -> Curves:
        """Return an SVG of the smooth loss by the logarithm of the learning rate, which a notebook draws."""
        line = [(math.log10(point.lr), point.smooth) for point in self.points]
        names = ("learning rate, as a power of 10", "loss")
        return Curves({"find-lr.svg": curve_file(line, title="Loss by learning rate", names=names)})

    def rows_of_table(self) -> list[LrPoint]:
        """Return at most `ROWS` points, evenly spaced."""
        step = -(-len(self.points) // ROWS)
        return list(self.points[::step])


def search(job: Job, state: TrainState) -> Generator[Progress, None, LrReport]:
    """Train `state` while the learning rate rises, and return the curve. Discard the state afterwards."""
    rates = _rates(STEPS)
    facts = fit(state, _plan(job, lambda step: rates[min(step, len(rates) - 1)]))
    steps = (fact for fact in facts if isinstance(fact, StepResult))
    points: list[LrPoint] = []
    stopped, began = "", time.monotonic()
    while len(points) < len(rates) and not stopped:
        try:
            fact = next(steps)
        except NonFinite:
            stopped = NOT_FINITE
            break
        points.append(_point(fact, before=points))
        yield Progress(what="learning rates", done=len(points), total=len(rates), unit="steps")
        if len(points) == TIMED:  # from here on with as many steps as there is time for
            rates[:] = _rates(_affordable((time.monotonic() - began) / TIMED))
        stopped = _trouble(points)
    return report([point for point in points if math.isfinite(point.smooth)], job, stopped=stopped)


def report(points: list[LrPoint], job: Job, *, stopped: str) -> LrReport:
    """Return the report of a curve. Raises `NonFinite` when not even the first loss was finite."""
    if not points:
        raise not_finite(1)
    best = min(points, key=lambda point: point.smooth)
    return LrReport(
        proposal=proposal(points),
        lowest=best.lr,
        stopped=stopped,
        batch_size=job.config.batch_size,
        optimizer=job.config.optim.name,
        points=tuple(points),
    )


def proposal(points: list[LrPoint]) -> float | None:
    """Return the rate at which the smooth loss falls fastest, of two digits; None where it hardly falls."""
    best = min(points, key=lambda point: point.smooth)
    if len(points) < 2 or best.smooth >= HARDLY * points[0].smooth:
        return None
    # of the last points: the first may lie closer together, see `search`
    width = max(1, round(WINDOW / math.log10(points[-1].lr / points[-2].lr)))
    falls = {
        place: points[max(0, place - width)].smooth - points[min(len(points) - 1, place + width)].smooth
        for place in range(len(points))
    }
    return float(f"{points[max(falls, key=lambda place: falls[place])].lr:.1e}")


def _point(fact: StepResult, *, before: list[LrPoint]) -> LrPoint:
    """Return the point of a step, with the average of all losses so far, in which newer ones count more."""
    loss, count = fact.loss.item(), len(before)
    weight = (1 - SMOOTHING) / (1 - SMOOTHING ** (count + 1))
    smooth = loss if not before else before[-1].smooth + weight * (loss - before[-1].smooth)
    return LrPoint(lr=fact.lr, loss=loss, smooth=smooth)


def _trouble(points: list[LrPoint]) -> str:
    """Return why the search ends here, "" if it goes on."""
    if not math.isfinite(points[-1].smooth):
        return NOT_FINITE
    return "the loss exploded" if points[-1].smooth > EXPLODED * min(point.smooth for point in points) else ""


def _plan(job: Job, rate: Callable[[int], float]) -> Plan:
    side = job.image.size
    return dataclasses.replace(
        make_plan(job, Stop()), learning_rate=rate, side=lambda _: side, steps=STEPS, evaluate=None, early_stop=0
    )


def _rates(count: int) -> list[float]:
    """Return `count` rates from the lowest to the highest, each a fixed multiple of the one before."""
    return [LOWEST * (HIGHEST / LOWEST) ** (step / (count - 1)) for step in range(count)]


def _affordable(seconds: float) -> int:
    """Return the number of steps of so many seconds each."""
    return min(STEPS, max(FEWEST, int(SECONDS / max(seconds, 1e-9))))
