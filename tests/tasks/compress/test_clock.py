"""A budget counts over all calls, and leaves time for the work after a training."""

import math
import time

import pytest

from resnetctl.tasks.compress.clock import MARGIN, Clock, after_training


def test_what_earlier_calls_took_counts() -> None:
    clock = Clock(budget=60.0, earlier=20.0, began=time.monotonic() - 5)
    assert clock.used == pytest.approx(25, abs=1)
    assert clock.left == pytest.approx(35, abs=1)
    assert Clock(budget=0.0).left == math.inf


def test_the_work_after_a_training_grows_with_the_data_and_with_what_is_asked() -> None:
    def needed(**changes: float) -> float:
        values = {"file": 8.0, "image": 0.01, "val": 500, "test": 1000, "attempts": 1, "int8": False, **changes}
        return after_training(**values)  # type: ignore[arg-type]

    assert needed() > MARGIN * (2 * 8 + 10)
    assert needed(int8=True) > needed() + 3 * 5
    assert needed(test=0) == pytest.approx(needed() - MARGIN * 10)
    assert needed(attempts=2) > needed() + 2 * 8
