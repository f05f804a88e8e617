"""The interval of a mean is that of the normal approximation, and it is the same every time."""

import numpy as np
import pytest

from resnetctl.engine.meters.bootstrap import interval


def test_the_interval_of_a_mean_is_near_that_of_the_formula() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 500)
    found = interval(500, lambda times: float((values * times).sum() / times.sum()), purpose="mean")
    half = 1.96 * values.std() / np.sqrt(500)
    assert found == pytest.approx((values.mean() - half, values.mean() + half), abs=0.25 * half)


def test_it_is_seeded_by_its_purpose() -> None:
    def value(times: np.ndarray) -> float:
        return float(times[0])

    assert interval(9, value, purpose="x") == interval(9, value, purpose="x")


def test_draws_without_a_value_are_left_out_and_one_image_has_no_interval() -> None:
    assert interval(1, lambda _: 1.0, purpose="x") is None
    assert interval(5, lambda _: float("nan"), purpose="x") is None
    assert interval(5, lambda times: 0.5 if times[0] else float("nan"), purpose="x") == (0.5, 0.5)
