"""The wall time that a run of `compress` may take: what is used, and what the work after a training needs."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from resnetctl.compress import latency

MARGIN = 1.25  # times the estimated work after a training
CALIBRATION = 2000  # images of a pass take as long as the ranges, which keep the values of every layer
BATCHES = 4  # of 64 images that are timed at least, whatever they take
REPORTED = 4  # files in the table of latencies: the whole network, the cut one, the trained one, int8


@dataclass(frozen=True, kw_only=True)
class Clock:
    """The budget of a run, which counts over all calls that work on it.

    Attributes:
        budget: seconds of wall time; 0: any.
        earlier: seconds that earlier calls took: their finished stages, and the epochs of one that is not finished.
        began: `time.monotonic()` when this call began.
    """

    budget: float
    earlier: float = 0.0
    began: float = field(default_factory=time.monotonic)

    @property
    def used(self) -> float:
        """Seconds of all calls."""
        return self.earlier + time.monotonic() - self.began

    @property
    def left(self) -> float:
        """Seconds that are left, below 0 if too many were used; infinite without a budget."""
        return self.budget - self.used if self.budget else float("inf")


@dataclass(frozen=True, kw_only=True)
class Took:
    """Seconds that the float32 file of a network took.

    Attributes:
        export: to write and check it.
        read: for one image of val, to read it.
        predict: for one image of val, to predict it.
        int8: the same for its int8 file, by the measured speed; 0 if none will be made.
    """

    export: float
    read: float
    predict: float
    int8: float = 0.0

    @property
    def last(self) -> float:
        """Seconds of an image of test, which the last file predicts."""
        return self.read + (self.int8 or self.predict)

    def checks(self, val: int) -> float:
        """Return the seconds of the exports, the ranges and the passes over `val` images of a trained network."""
        if not self.int8:
            return self.export + val * (self.read + self.predict)
        passes = 3 * self.read + 2 * self.predict + 2 * self.int8
        return self.export + val * passes + CALIBRATION * self.predict + len(latency.SIZES) * latency.SECONDS


def after_training(
    attempts: Sequence[Took], *, slowest: Took, val: int, test: int, is_whole_tested: bool = False
) -> float:
    """Return the seconds that exports, checks, int8, timing and test will take.

    Args:
        attempts: what was measured of networks of the same shapes as those that are still to be trained.
        slowest: what was measured of the whole network.
        val, test: numbers of images.
        is_whole_tested: whether test also judges the whole network.
    """
    timing = len(latency.SIZES) * latency.SECONDS + REPORTED * BATCHES * sum(latency.SIZES) * slowest.predict
    checks = sum(took.checks(val) for took in attempts)
    image = max(took.last for took in attempts) + is_whole_tested * slowest.last
    return MARGIN * (checks + timing + test * image)
