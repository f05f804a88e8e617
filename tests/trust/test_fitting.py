"""The calibration that a card holds: temperature and thresholds of outputs whose truth is known."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize
from scipy.special import softmax
from support.evidence import make_evidence
from support.logits import sample

from resnetctl.trust.calibration import nll
from resnetctl.trust.conformal import coverage
from resnetctl.trust.fitting import RANGE, fit_card, fit_temperature


def test_temperature_and_sets_are_fitted() -> None:
    val, fresh = make_evidence(2000), make_evidence(4000, seed=1)
    fitted = fit_card(val.logits, val.labels)
    assert fitted is not None
    assert fitted.temperature == pytest.approx(3, rel=0.08)
    assert (fitted.images, fitted.split, list(fitted.sets)) == (2000, "val", ["0.9", "0.95"])
    for level, limit in fitted.sets.items():
        shares = softmax(fresh.logits / fitted.temperature, axis=1)
        found = coverage(shares, fresh.labels, limit=limit, level=float(level), fitted_on=2000)
        assert found.coverage == pytest.approx(float(level), abs=0.02)


@pytest.mark.parametrize(("count", "is_fitted"), [(99, False), (100, True)])
def test_fewer_than_100_images_give_nothing(count: int, is_fitted: bool) -> None:
    val = make_evidence(count)
    assert (fit_card(val.logits, val.labels) is not None) is is_fitted


def test_a_val_that_is_all_right_gives_temperature_1() -> None:
    val = make_evidence(200)
    right = dataclasses.replace(val, logits=np.eye(4, dtype=np.float32)[val.labels] * 9)
    fitted = fit_card(right.logits, right.labels)
    assert fitted is not None
    assert fitted.temperature == 1


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
