"""Means, pairs and numbers of seeds, against scipy's values."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from resnetctl.trust.seeds import EQUAL, MOST_SEEDS, compare_recipes, seed_mean, seed_pairs, seeds_needed

FIVE = {0: 0.91, 1: 0.93, 2: 0.92, 3: 0.94, 4: 0.90}


def test_the_mean_of_seeds_has_a_t_interval() -> None:
    """scipy.stats.t.interval(0.95, 4, 0.92, sem(values)) gives 0.9003676, 0.9396324."""
    found = seed_mean([*FIVE.values()])
    assert (found.n, found.mean) == (5, pytest.approx(0.92))
    assert found.sd == pytest.approx(math.sqrt(0.00025))
    assert found.interval == pytest.approx((0.9003676, 0.9396324), abs=1e-6)


def test_one_seed_has_no_spread() -> None:
    found = seed_mean([0.5])
    assert (found.mean, found.sd, found.n, found.interval) == (0.5, None, 1, None)


def test_pairs_find_a_difference_that_the_spread_of_seeds_would_hide() -> None:
    better = {seed: value + 0.01 + 0.001 * (seed % 2) for seed, value in FIVE.items()}
    found = seed_pairs(better, FIVE)
    assert (found.verdict, found.n) == ("better", 5)
    assert found.difference == pytest.approx(0.0104)
    assert seed_pairs(FIVE, better).verdict == "worse"


def test_seeds_that_only_one_setting_has_are_left_out() -> None:
    found = seed_pairs({0: 0.9, 1: 0.8, 7: 0.1}, {0: 0.9, 1: 0.8, 9: 0.2})
    assert (found.n, found.difference, found.verdict) == (2, 0.0, "not distinguishable")
    with pytest.raises(ValueError, match="no seed is in both"):
        seed_pairs({1: 0.9}, {2: 0.9})


def test_noise_is_not_distinguishable_and_says_how_many_seeds_it_would_take() -> None:
    noise = {seed: value + (0.01 if seed % 2 else -0.01) for seed, value in FIVE.items()}
    found = seed_pairs(noise, FIVE)
    assert found.verdict == "not distinguishable"
    assert found.needed is not None
    assert found.needed > found.n
    one = seed_pairs({0: 0.9}, {0: 0.8})
    assert (one.verdict, one.needed) == ("not distinguishable", None)


@pytest.mark.parametrize("sd", [0.003, 0.006, 0.01])
def test_the_number_of_seeds_shows_the_difference_in_four_of_five_cases(sd: float) -> None:
    n = seeds_needed(sd, difference=0.003)
    assert n is not None
    drawn = np.random.default_rng(0).normal(0.003, sd, (4_000, n))
    means = [seed_mean(values.tolist()) for values in drawn]
    shown = np.mean([mean.interval is not None and mean.interval[0] > 0 for mean in means])
    assert shown == pytest.approx(0.8, abs=0.07)  # few seeds are whole numbers


def test_many_seeds_follow_the_normal_distribution() -> None:
    assert seeds_needed(0.05, difference=0.003) == pytest.approx((2.8 * 0.05 / 0.003) ** 2, rel=0.01)


def test_no_absurd_number_of_seeds_is_suggested() -> None:
    assert seeds_needed(1.0, difference=0.003) is None
    assert seeds_needed(0.0, difference=0.003) == 2
    assert MOST_SEEDS == 10_000


@given(st.lists(st.floats(0, 1), min_size=2, max_size=12))
def test_the_interval_is_that_of_scipy(values: list[float]) -> None:
    found = seed_mean(values)
    if max(values) - min(values) < EQUAL:
        assert found.interval is None
        return
    assert found.interval is not None
    assert found.sd == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    if found.sd > 1e-9:  # scipy overflows for smaller ones
        expected = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
        assert found.interval == pytest.approx(expected, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.integers(0, 9), st.floats(0, 1), min_size=1), st.floats(-0.5, 0.5))
def test_pairs_turn_round_with_their_settings(values: dict[int, float], shift: float) -> None:
    other = {seed: value + shift * (1 + seed % 3) for seed, value in values.items()}
    there, back = seed_pairs(values, other), seed_pairs(other, values)
    assert there.difference == pytest.approx(-back.difference, abs=1e-12)
    assert there.n == back.n == len(values)
    turned = {"better": "worse", "worse": "better"}
    assert there.verdict == turned.get(back.verdict, back.verdict)


def test_equal_values_have_no_interval() -> None:
    found = seed_mean([0.972, 0.972])
    assert (found.mean, found.sd, found.n, found.interval) == (0.972, 0.0, 2, None)
    assert seed_mean([0.972, 0.973]).interval is not None
    pairs = seed_pairs({0: 0.9, 1: 0.8}, {0: 0.8, 1: 0.7})  # the differences are equal but for rounding
    assert (pairs.verdict, pairs.sd, pairs.interval, pairs.needed) == ("not distinguishable", 0.0, None, None)
    recipes = compare_recipes([0.9] * 3, [0.8] * 4)
    assert (recipes.verdict, recipes.interval, recipes.p) == ("not distinguishable", None, None)
    assert compare_recipes([0.9] * 3, [0.8, 0.8, 0.81]).verdict == "better"
