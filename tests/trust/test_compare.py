"""Comparisons of two models and of two recipes, against scipy and by simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from resnetctl.trust.compare import bonett_price, compare, mid_p, student_quantile, welch


@pytest.mark.parametrize(("first", "second"), [(3, 10), (10, 3), (0, 6), (817, 600)])
def test_mid_p_is_the_exact_test_with_half_of_the_observed_count(first: int, second: int) -> None:
    total, least = first + second, min(first, second)
    expected = 2 * (stats.binom.cdf(least, total, 0.5) - stats.binom.pmf(least, total, 0.5) / 2)
    assert mid_p(first, second) == pytest.approx(expected, rel=1e-9)


def test_equal_counts_are_no_evidence() -> None:
    assert mid_p(0, 0) == mid_p(7, 7) == 1


@pytest.mark.parametrize(("n", "discordant"), [(359, 0.1), (1000, 0.02), (1000, 0.1), (10_000, 0.03), (10_000, 0.14)])
def test_under_the_null_few_pairs_are_rejected_and_the_interval_holds_zero(n: int, discordant: float) -> None:
    draw = np.random.default_rng(0)
    rejected = covered = 0
    for _ in range(1000):
        counts = draw.multinomial(n, [discordant / 2, discordant / 2, 1 - discordant])
        result = compare(int(counts[0]), int(counts[1]), n=n)
        rejected += result.p < 0.05
        covered += result.interval[0] <= 0 <= result.interval[1]
    assert rejected / 1000 <= 0.065
    assert 0.93 <= covered / 1000 <= 0.97


def test_the_verdict_follows_the_interval() -> None:
    assert compare(60, 20, n=1000).verdict == "better"
    assert compare(20, 60, n=1000).verdict == "worse"
    assert compare(21, 20, n=1000).verdict == "not distinguishable"
    low, high = compare(817, 600, n=10_000).interval
    assert (low, high) == pytest.approx((0.0143, 0.0291), abs=1e-4)


def test_identical_models_have_an_interval_around_zero() -> None:
    low, high = bonett_price(0, 0, n=100)
    assert low < 0 < high


def test_the_smallest_difference_is_found_four_times_of_five() -> None:
    draw, n = np.random.default_rng(1), 2000
    smallest = compare(100, 100, n=n).smallest
    found = 0
    for _ in range(500):
        counts = draw.multinomial(n, [0.05 + smallest / 2, 0.05 - smallest / 2, 0.9])
        found += compare(int(counts[0]), int(counts[1]), n=n).verdict == "better"
    assert found / 500 == pytest.approx(0.8, abs=0.07)


def test_welch_equals_scipys() -> None:
    first, second = [0.91, 0.92, 0.905, 0.915], [0.90, 0.89, 0.912]
    difference, interval, p = welch(first, second)
    expected = stats.ttest_ind(first, second, equal_var=False)
    assert difference == pytest.approx(np.mean(first) - np.mean(second))
    assert p == pytest.approx(expected.pvalue, rel=1e-9)
    assert interval == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-9)
    assert student_quantile(0.975, 5) == pytest.approx(stats.t.ppf(0.975, 5), rel=1e-9)


def test_equal_seeds_have_no_variance() -> None:
    assert welch([0.9, 0.9], [0.9, 0.9]) == (0.0, (0.0, 0.0), 1.0)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(80, 500))
def test_a_comparison_turns_round_with_its_models(first: int, second: int, n: int) -> None:
    there, back = compare(first, second, n=n), compare(second, first, n=n)
    assert there.difference == -back.difference
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]))
    assert (there.p, there.smallest) == (back.p, back.smallest)
    assert 0 <= there.p <= 1
    assert -1 <= there.interval[0] <= there.interval[1] <= 1
    turned = {"better": "worse", "worse": "better"}
    assert there.verdict == turned.get(back.verdict, back.verdict)


def test_many_discordant_images_do_not_underflow() -> None:
    assert mid_p(50_000, 50_001) == pytest.approx(1, abs=0.01)
    assert mid_p(0, 5000) == pytest.approx(0, abs=1e-300)


@pytest.mark.parametrize("freedom", [1, 2.5, 30, 1000])
def test_quantiles_of_t_are_those_of_scipy(freedom: float) -> None:
    assert student_quantile(0.975, freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-8)
    assert student_quantile(0.9, freedom) == pytest.approx(stats.t.ppf(0.9, freedom), rel=1e-8)


def test_constant_but_different_values_are_surely_different() -> None:
    assert welch([0.75, 0.75], [0.5, 0.5, 0.5]) == (0.25, (0.25, 0.25), 0.0)
