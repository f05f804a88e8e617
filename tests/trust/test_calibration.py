import numpy as np
import pytest
from scipy import optimize
from sklearn.metrics import log_loss

from resnetctl.trust import calibration as module
from resnetctl.trust.scores import softmax


def sample(n: int = 4000, *, scale: float = 1.0, classes: int = 10, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return logits and labels drawn from them; `scale` makes the logits too sure afterwards."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(n, classes)) * 2
    labels = (softmax(logits).cumsum(axis=1) > draw.random((n, 1))).argmax(axis=1)
    return logits * scale, labels


def test_the_temperature_undoes_a_scale() -> None:
    logits, labels = sample(20_000, scale=3.0)
    assert module.fit_temperature(logits, labels) == pytest.approx(3.0, rel=0.03)


def test_the_temperature_minimises_the_nll() -> None:
    logits, labels = sample(scale=2.5)
    best = optimize.minimize_scalar(lambda t: module.nll(logits / t, labels), bounds=(0.5, 10), method="bounded")
    assert module.fit_temperature(logits, labels) == pytest.approx(best.x, rel=1e-4)


def test_the_temperature_stays_in_its_range() -> None:
    logits, _ = sample(200)
    assert module.fit_temperature(logits, logits.argmax(axis=1)) == module.RANGE[0]
    assert module.fit_temperature(logits, logits.argmin(axis=1)) == module.RANGE[1]


def test_nll_and_brier_equal_scikit_learns_formulas() -> None:
    logits, labels = sample(500)
    shares = softmax(logits)
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
    shares = softmax(logits)
    confidence, correct = shares.max(axis=1), shares.argmax(axis=1) == labels
    order = np.argsort(confidence, kind="stable")
    gaps = [abs((correct[rows] - confidence[rows]).sum()) for rows in np.array_split(order, 15)]
    assert module.ece_mass(confidence, correct) == pytest.approx(sum(gaps) / 1503)


def test_a_perfectly_calibrated_model_has_the_ece_of_its_size() -> None:
    logits, labels = sample(1000, seed=3)
    report = module.calibration(logits, labels)
    assert report.ece < report.ece_null_95 * 1.3
    small, large = (module.ece_null(softmax(sample(n)[0]).max(axis=1)).mean() for n in (359, 10_000))
    assert small / large == pytest.approx(np.sqrt(10_000 / 359), rel=0.25)


def test_the_simulation_repeats() -> None:
    confidence = softmax(sample(300)[0]).max(axis=1)
    assert np.array_equal(module.ece_null(confidence), module.ece_null(confidence))


def test_one_image_divides_by_nothing() -> None:
    report = module.calibration(np.array([[3.0, -1.0]]), np.array([0]))
    assert report.n == 1
    assert np.isfinite([report.nll, report.brier, report.ece, report.ece_mass, report.ece_null]).all()
