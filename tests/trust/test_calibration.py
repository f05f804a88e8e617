"""Temperatures, errors and bins, against scikit-learn, scipy and cases known without computing."""

import itertools

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import log_loss
from support.logits import sample

from resnetctl.trust import calibration as module
from resnetctl.trust.temperature import fit_temperature


def test_nll_and_brier_equal_scikit_learns_formulas() -> None:
    logits, labels = sample(500)
    shares = softmax(logits, axis=1)
    assert module.nll(logits, labels) == pytest.approx(log_loss(labels, shares, labels=range(10)), abs=1e-12)
    onehot = np.eye(10)[labels]
    assert module.brier(shares, labels) == pytest.approx(((shares - onehot) ** 2).sum(axis=1).mean(), abs=1e-12)


def test_ece_is_the_mean_gap_of_the_bins() -> None:
    confidence = np.array([0.05, 0.5, 0.52, 1.0])
    correct = np.array([False, True, False, True])
    # bins of width 1/15: 0.05 alone, 0.5 and 0.52 together, 1.0 in the last one
    assert module.ece(confidence, correct) == pytest.approx((0.05 + abs(1 - 1.02) + 0) / 4)
    assert [one.count for one in module.bins(confidence, correct) if one.count] == [1, 2, 1]


def test_bins_of_equal_count_hold_equally_many_images() -> None:
    logits, labels = sample(1503, scale=2.0)
    shares = softmax(logits, axis=1)
    confidence, correct = shares.max(axis=1), shares.argmax(axis=1) == labels
    order = np.argsort(confidence, kind="stable")
    gaps = [abs((correct[rows] - confidence[rows]).sum()) for rows in np.array_split(order, 15)]
    assert module.ece_mass(confidence, correct) == pytest.approx(sum(gaps) / 1503)


def test_a_perfectly_calibrated_model_has_the_ece_of_its_size() -> None:
    logits, labels = sample(1000, seed=3)
    report = module.calibration(logits, labels)
    assert report.ece < report.ece_null_95 * 1.3
    small, large = (module.ece_null(softmax(sample(n)[0], axis=1).max(axis=1)).mean() for n in (359, 10_000))
    assert small / large == pytest.approx(np.sqrt(10_000 / 359), rel=0.25)


def test_the_simulation_repeats() -> None:
    confidence = softmax(sample(300)[0], axis=1).max(axis=1)
    assert np.array_equal(module.ece_null(confidence), module.ece_null(confidence))


def test_one_image_divides_by_nothing() -> None:
    report = module.calibration(np.array([[3.0, -1.0]]), np.array([0]))
    assert report.n == 1
    assert np.isfinite([report.nll, report.brier, report.ece, report.ece_mass, report.ece_null]).all()


def test_a_confidence_of_an_edge_is_in_the_upper_bin_and_one_in_the_last() -> None:
    edges = np.linspace(0, 1, module.BINS + 1)
    assert module._places(edges, module.BINS).tolist() == [*range(module.BINS), module.BINS - 1]
    counts = [one.count for one in module.bins(edges, np.ones(16, bool))]
    assert counts == [1] * 14 + [2]
    ends = [(one.low, one.high) for one in module.bins(edges, np.ones(16, bool))]
    assert all(left[1] == right[0] for left, right in itertools.pairwise(ends))


def test_empty_bins_have_no_means() -> None:
    found = module.bins(np.array([0.5]), np.array([True]), count=3)
    assert [(one.count, one.confidence, one.accuracy) for one in found] == [
        (0, None, None),
        (1, 0.5, 1.0),
        (0, None, None),
    ]


@pytest.mark.parametrize("confidence", [0.0, 0.3, 1.0])
def test_the_error_of_one_confidence_is_its_gap(confidence: float) -> None:
    sure, correct = np.full(10, confidence), np.arange(10) < 3
    for error in (module.ece, module.ece_mass):
        assert error(sure, correct, count=1) == pytest.approx(abs(0.3 - confidence))


def test_bins_of_equal_count_need_no_image_each() -> None:
    assert module.ece_mass(np.array([0.25, 0.75]), np.array([False, True])) == pytest.approx(0.25)


def test_a_simulation_in_parts_has_all_its_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    confidence = softmax(sample(100)[0], axis=1).max(axis=1)
    assert module.ece_null(confidence, draws=7).shape == (7,)
    assert not np.array_equal(module.ece_null(confidence, draws=7), module.ece_null(confidence, draws=7, seed=1))
    sure = module.ece_null(np.ones(20), draws=3)
    assert sure.tolist() == [0, 0, 0]


def test_a_fitted_temperature_is_reported_with_its_split_and_lowers_the_nll() -> None:
    logits, labels = sample(1000, scale=4.0)
    best = fit_temperature(logits, labels)
    before = module.calibration(logits, labels)
    after = module.calibration(logits, labels, temperature=best, fitted_on="val")
    assert (before.temperature, before.fitted_on, after.temperature, after.fitted_on) == (1.0, None, best, "val")
    assert after.nll < before.nll
    assert after.ece < before.ece
    assert sum(one.count for one in after.bins) == after.n == 1000


def test_large_logits_do_not_overflow() -> None:
    logits = np.array([[1e4, 0.0], [0.0, -1e4]])
    assert module.nll(logits, np.array([0, 0])) == 0
    assert module.nll(logits, np.array([1, 0])) == pytest.approx(5000)
