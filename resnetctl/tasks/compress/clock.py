"""The wall time that a run of `compress` may take: what is used, and what the work after a training needs."""

import time
from dataclasses import dataclass, field

from resnetctl.compress import latency

MARGIN = 1.25  # times the estimated work after a training
FILES = 2  # float32: the cut network and the trained one
PASSES = 3  # over val with int8: the float32 file, the int8 file, and the final file
CALIBRATION = 2000  # images of a pass take as long as the ranges, which keep the values of every layer
BATCHES = 4  # of 64 images that are timed at least, whatever they take


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


def after_training(*, file: float, image: float, val: int, test: int, attempts: int, int8: bool) -> float:
    """Return the seconds that exports, checks, int8, timing and test will take.

    Args:
        file: seconds of the export of the whole network and its pass over val: the others are smaller.
        image: seconds of one image of such a pass.
        val, test: numbers of images.
        attempts: networks that are still to be measured: 2 with a student.
    """
    files, quantised = attempts * (FILES + int8), attempts * int8
    images = quantised * (PASSES * val + CALIBRATION) + test + BATCHES * sum(latency.SIZES) * files
    timing = (1 + quantised) * len(latency.SIZES) * latency.SECONDS
    return MARGIN * (attempts * FILES * file + images * image + timing)
