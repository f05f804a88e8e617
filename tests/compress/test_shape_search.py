"""The largest shape that is fast enough is found with few measurements, however wrong the table is."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetctl.compress.shape_search import TRIES, largest

SHAPES = range(24)  # the number of blocks that are gone


def speed(gone: float) -> float:
    return 25 / (25 - gone)


def search(needed: float, *, factor: float = 1.0, most: int = 99) -> tuple[int | None, list[int]]:
    """Search where the machine is `factor` times as fast as the table says, and shapes from `most` on fit."""
    measured: list[int] = []

    def measure(gone: int) -> float | None:
        measured.append(gone)
        return factor * speed(gone) if most == 99 or gone >= most else None

    return largest(SHAPES, needed=needed, predicted=speed, measure=measure), measured


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.3, 3.0])
def test_a_table_that_is_wrong_by_a_factor_costs_a_measurement_or_two(factor: float) -> None:
    found, measured = search(4.0, factor=factor)
    assert found == next(gone for gone in SHAPES if factor * speed(gone) >= 4.0)
    assert len(measured) <= 4


def test_a_goal_that_is_out_of_reach_costs_one_measurement_of_the_smallest() -> None:
    assert search(99.0) == (None, [23])


def test_a_shape_that_breaks_another_limit_is_passed_over() -> None:
    found, measured = search(0.0, most=17)
    assert (found, len(measured) <= TRIES) == (17, True)


@given(st.lists(st.floats(0.1, 20), min_size=1, max_size=40), st.floats(0.1, 20))
def test_what_is_found_was_measured_to_be_enough_and_few_are_measured(speeds: list[float], needed: float) -> None:
    table, measured = sorted(speeds), dict[int, float]()

    def measure(place: int) -> float:
        assert place not in measured
        measured[place] = speeds[place]  # in another order than that of the table
        return speeds[place]

    found = largest(range(len(speeds)), needed=needed, predicted=lambda place: table[place], measure=measure)
    assert len(measured) <= 2 + math.log2(len(speeds)) + TRIES
    if found is None:
        assert max(measured.values()) < needed
        assert len(speeds) - 1 in measured
    else:
        assert measured[found] >= needed
        assert all(measured[place] < needed for place in measured if place < found)


@pytest.mark.parametrize("table", [lambda gone: 1.0, lambda gone: 1 + gone / 1000, lambda gone: 1.0 + (gone > 20)])
def test_a_table_that_knows_nothing_costs_guesses_and_not_the_answer(table: Callable[[int], float]) -> None:
    """On a busy machine the times of blocks can be lost in noise."""
    measured: list[int] = []

    def measure(gone: int) -> float:
        measured.append(gone)
        return speed(gone)

    found = largest(SHAPES, needed=1.8, predicted=table, measure=measure)
    assert found is not None
    assert 1.8 <= speed(found) <= 2.0
    assert len(measured) <= TRIES
