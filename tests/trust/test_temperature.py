"""The temperature is the best one, within its range."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize
from support.logits import sample

from resnetctl.trust.calibration import nll
from resnetctl.trust.temperature import RANGE, fit_temperature


def test_the_temperature_undoes_a_scale() -> None:
    logits, labels = sample(20_000, scale=3.0)
    assert fit_temperature(logits, labels) == pytest.approx(3.0, rel=0.03)


def test_the_temperature_minimises_the_nll() -> None:
    logits, labels = sample(scale=2.5)
    best = optimize.minimize_scalar(lambda t: nll(logits / t, labels), bounds=(0.5, 10), method="bounded")
    assert fit_temperature(logits, labels) == pytest.approx(best.x, rel=1e-4)


def test_the_temperature_stays_in_its_range() -> None:
    logits, _ = sample(200)
    assert fit_temperature(logits, logits.argmax(axis=1)) == RANGE[0]
    assert fit_temperature(logits, logits.argmin(axis=1)) == RANGE[1]


@given(st.floats(0.1, 15), st.floats(-50, 50), st.integers(0, 10))
def test_a_temperature_scales_with_the_logits_and_ignores_what_is_added(scale: float, shift: float, seed: int) -> None:
    logits, labels = sample(300, seed=seed)
    plain, other = (fit_temperature(values, labels) for values in (logits, logits * scale + shift))
    assert other == pytest.approx(min(20.0, max(0.05, plain * scale)), rel=1e-4)
