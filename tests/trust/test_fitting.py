"""The calibration that a card holds: temperature and thresholds of outputs whose truth is known."""

import dataclasses

import numpy as np
import pytest
from scipy.special import softmax
from support.evidence import make_evidence

from resnetctl.trust.conformal import coverage
from resnetctl.trust.fitting import fit_card


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
