import math
import random

import pytest
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
