"""The beta distribution, for exact bounds of a share and for the range of a coverage."""

import math

TINY = 1e-300
PRECISION = 1e-15
MAX_STEPS = 100_000


def cdf(x: float, *, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), for 0 <= x <= 1 and positive a, b.

    The continued fraction converges fast below the mean; above it the symmetry I_x(a, b) = 1 - I_(1-x)(b, a) is used
    (NIST Digital Library of Mathematical Functions, 8.17.4 and 8.17.22).
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - cdf(1 - x, a=b, b=a)
    logs = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(logs + a * math.log(x) + b * math.log1p(-x)) / a
    return front * _fraction(x, a=a, b=b)


def _fraction(x: float, *, a: float, b: float) -> float:
    """Evaluate the continued fraction by the method of Lentz (1976, Applied Optics 15, p. 668)."""
    numerator = 1.0
    denominator = 1 / ((1 - (a + b) * x / (a + 1)) or TINY)
    value = denominator
    for step in range(1, MAX_STEPS):
        for term in (
            step * (b - step) * x / ((a + 2 * step - 1) * (a + 2 * step)),
            -(a + step) * (a + b + step) * x / ((a + 2 * step) * (a + 2 * step + 1)),
        ):
            denominator = 1 / ((1 + term * denominator) or TINY)
            numerator = (1 + term / numerator) or TINY
            change = numerator * denominator
            value *= change
        if abs(change - 1) < PRECISION:
            break
    return value


def quantile(p: float, *, a: float, b: float) -> float:
    """Return the x with I_x(a, b) = p, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(200):
        middle = (low + high) / 2
        if cdf(middle, a=a, b=b) < p:
            low = middle
        else:
            high = middle
        if high - low <= PRECISION * high:
            break
    return (low + high) / 2


def upper_bound(errors: int, count: int, *, confidence: float) -> float:
    """Return the one-sided Clopper-Pearson bound (1934, Biometrika 26, p. 404): the largest plausible error rate."""
    return 1.0 if errors >= count else quantile(confidence, a=errors + 1, b=count - errors)


def is_below(errors: int, count: int, *, rate: float, confidence: float) -> bool:
    """Return whether `upper_bound` is at most `rate`. It needs one value of the distribution, not a search."""
    return errors < count * rate and cdf(rate, a=errors + 1, b=count - errors) >= confidence
