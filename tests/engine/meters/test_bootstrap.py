"""The interval of a mean is that of the normal approximation, and it is the same every time."""

from collections.abc import Callable

import numpy as np
import pytest

from resnetctl.engine.meters.bootstrap import DRAWS, interval, intervals


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


def test_every_draw_has_as_many_images_and_other_purposes_draw_others() -> None:
    seen: dict[str, list[list[int]]] = {"x": [], "y": []}
    for purpose, rows in seen.items():

        def value(times: np.ndarray, rows: list[list[int]] = rows) -> float:
            rows.append(times.tolist())
            return float(times[0])

        interval(7, value, purpose=purpose)
    assert {sum(times) for times in seen["x"]} == {7}
    assert len(seen["x"]) == DRAWS
    assert seen["x"] != seen["y"]


def test_a_number_that_never_changes_has_an_interval_without_width() -> None:
    assert interval(2, lambda _: 0.75, purpose="x") == (0.75, 0.75)
    assert interval(0, lambda _: 1.0, purpose="x") is None


@pytest.mark.parametrize("count", [20, 50])
def test_the_interval_of_a_share_holds_the_truth_about_95_times_in_100(count: int) -> None:
    draw, hits = np.random.default_rng(count), 0
    for number in range(60):
        values = draw.random(count) < 0.7
        found = interval(count, lambda times, own=values: float((own * times).mean()), purpose=f"share {number}")
        assert found is not None
        hits += found[0] <= 0.7 <= found[1]
    assert hits >= 51


def test_numbers_that_are_drawn_together_have_the_intervals_of_each_alone() -> None:
    values = np.random.default_rng(1).random((2, 30))

    def mean(row: int) -> Callable[[np.ndarray], float]:
        return lambda times: float((values[row] * times).mean()) if times[0] or row else float("nan")

    both = intervals(30, lambda times: [mean(0)(times), mean(1)(times)], purpose="x")
    assert both == [interval(30, mean(row), purpose="x") for row in (0, 1)]
    assert intervals(1, lambda _: [0.5, 0.5], purpose="x") == [None, None]
