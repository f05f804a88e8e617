import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from resnetctl.trust import beta


def test_the_distribution_equals_scipys() -> None:
    draw = random.Random(0)
    for _ in range(500):
        a, b = (10 ** draw.uniform(-1, 4) for _ in range(2))
        spread = math.sqrt(a * b / (a + b + 1)) / (a + b)
        x = min(1 - 1e-9, max(1e-9, draw.gauss(a / (a + b), 2 * spread)))
        assert beta.cdf(x, a=a, b=b) == pytest.approx(special.betainc(a, b, x), abs=1e-9)


@pytest.mark.parametrize(("p", "a", "b"), [(0.025, 901, 100), (0.975, 901, 100), (0.5, 0.5, 0.5), (0.95, 1, 300)])
def test_quantiles_equal_scipys(p: float, a: float, b: float) -> None:
    assert beta.quantile(p, a=a, b=b) == pytest.approx(stats.beta.ppf(p, a, b), abs=1e-12)


@pytest.mark.parametrize(("errors", "count"), [(0, 10), (3, 100), (100, 100), (50, 5000)])
def test_the_bound_is_clopper_pearsons(errors: int, count: int) -> None:
    expected = 1.0 if errors == count else stats.beta.ppf(0.95, errors + 1, count - errors)
    bound = beta.upper_bound(errors, count, confidence=0.95)
    assert bound == pytest.approx(expected, abs=1e-12)
    for rate in (0.01, 0.05, 0.2):
        assert beta.is_below(errors, count, rate=rate, confidence=0.95) == (bound <= rate)


def test_the_ends_of_the_distribution() -> None:
    assert [beta.cdf(x, a=2, b=3) for x in (0, 1, -1)] == [0, 1, 0]


@given(st.floats(0.01, 0.99), st.floats(0.5, 500), st.floats(0.5, 500))
def test_the_quantile_is_the_inverse_of_the_distribution(p: float, a: float, b: float) -> None:
    assert beta.cdf(beta.quantile(p, a=a, b=b), a=a, b=b) == pytest.approx(p, abs=1e-7)


@given(st.integers(0, 200), st.integers(1, 200), st.floats(0.001, 0.999))
def test_a_rate_is_below_where_the_bound_is(errors: int, extra: int, rate: float) -> None:
    count = errors + extra
    bound = beta.upper_bound(errors, count, confidence=0.95)
    assert errors / count < bound <= 1
    if abs(bound - rate) > 1e-9:
        assert beta.is_below(errors, count, rate=rate, confidence=0.95) == (bound < rate)


def test_more_images_bound_a_rate_more_closely() -> None:
    bounds = [beta.upper_bound(count // 10, count, confidence=0.95) for count in (10, 100, 1000, 100_000)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] == pytest.approx(0.1, abs=0.002)
    assert beta.upper_bound(0, 1, confidence=0.95) == pytest.approx(0.95)
