"""A budget counts over all calls, and leaves time for the work after a training."""

import dataclasses
import math
import time

import pytest

from resnetctl.tasks.compress.clock import MARGIN, Clock, Took, after_training

WHOLE = Took(export=8.0, read=0.001, predict=0.004)
CUT = Took(export=4.0, read=0.001, predict=0.002)


def test_what_earlier_calls_took_counts() -> None:
    clock = Clock(budget=60.0, earlier=20.0, began=time.monotonic() - 5)
    assert clock.used == pytest.approx(25, abs=1)
    assert clock.left == pytest.approx(35, abs=1)
    assert Clock(budget=0.0).left == math.inf


def needed(*attempts: Took, val: int = 500, test: int = 1000) -> float:
    return after_training(attempts, slowest=WHOLE, val=val, test=test)


def test_the_work_after_a_training_grows_with_the_data_and_with_what_is_asked() -> None:
    assert needed(CUT) > MARGIN * (4 + 500 * 0.003 + 1000 * 0.003)
    assert needed(CUT, test=0) == pytest.approx(needed(CUT) - MARGIN * 1000 * 0.003)
    assert needed(CUT, val=600) == pytest.approx(needed(CUT) + MARGIN * 100 * 0.003)
    assert needed(CUT, WHOLE) > needed(CUT) + MARGIN * 8


def test_int8_takes_more_passes_and_is_tested_at_its_own_speed() -> None:
    quick, slow = (dataclasses.replace(CUT, int8=seconds) for seconds in (0.0005, 0.003))
    assert needed(quick, test=0) > needed(CUT, test=0)
    assert needed(slow) - needed(quick) == pytest.approx(MARGIN * (2 * 500 + 1000) * 0.0025)


def test_a_whole_network_that_test_judges_takes_time_too() -> None:
    both = after_training((CUT,), slowest=WHOLE, val=500, test=1000, is_whole_tested=True)
    assert both == pytest.approx(needed(CUT) + MARGIN * 1000 * 0.005)


def test_the_reserve_follows_the_network_that_was_cut_not_the_whole_one() -> None:
    assert needed(CUT) < needed(WHOLE) - MARGIN * 4
