"""Thresholds are proved, and the curve counts the errors of the most confident."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetctl.trust import abstain
from resnetctl.trust.beta import upper_bound


def answers(n: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return confidences, and which answers are right: calibrated."""
    draw = np.random.default_rng(seed)
    confidence = draw.beta(4, 1, size=n)
    return confidence, draw.random(n) < confidence


def test_the_curve_counts_the_errors_of_the_most_confident() -> None:
    coverage, risk = abstain.risk_coverage(np.array([0.9, 0.5, 0.8, 0.7]), np.array([True, False, False, True]))
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert risk.tolist() == [0, 1 / 2, 1 / 3, 2 / 4]


def test_equal_confidences_are_answered_together() -> None:
    _, risk = abstain.risk_coverage(np.array([0.5, 0.5]), np.array([True, False]))
    assert risk.tolist() == [0.5, 0.5]


def test_the_order_of_the_images_does_not_matter() -> None:
    confidence, correct = answers(300, seed=0)
    order = np.random.default_rng(1).permutation(300)
    assert abstain.aurc(confidence, correct) == pytest.approx(abstain.aurc(confidence[order], correct[order]))


def test_the_threshold_keeps_its_promise_on_new_images() -> None:
    exceeded = proved = 0
    for seed in range(150):
        limit = abstain.threshold(*answers(1000, seed=seed), target=0.9)
        if limit is not None:
            proved += 1
            # the true error rate above the limit, from calibrated confidences
            confidence, _ = answers(50_000, seed=999)
            exceeded += (1 - confidence[confidence >= limit]).mean() > 0.1
    assert proved > 140
    assert exceeded / proved <= 0.13


def test_no_threshold_is_better_than_one_that_is_not_proved() -> None:
    assert abstain.threshold(np.array([0.99, 0.98]), np.array([True, True]), target=0.9) is None
    assert abstain.threshold(np.empty(0), np.empty(0, bool), target=0.9) is None


def test_abstention_is_measured_on_other_images() -> None:
    confidence, correct = answers(5000, seed=1)
    (entry,) = abstain.abstention(confidence, correct, fit=answers(5000, seed=0), targets=(0.9,))
    assert entry.threshold is not None
    assert entry.coverage == (confidence >= entry.threshold).mean()
    assert entry.accuracy == pytest.approx(0.9, abs=0.03)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=80), st.sampled_from([0.5, 0.8, 0.95])
)
def test_a_threshold_is_the_smallest_that_is_proved(images: list[tuple[int, bool]], target: float) -> None:
    confidence, correct = np.array([sure / 10 for sure, _ in images]), np.array([right for _, right in images])

    def is_proved(limit: float) -> bool:
        answered = confidence >= limit
        bound = upper_bound(int((~correct[answered]).sum()), int(answered.sum()), confidence=0.95)
        return bound <= 1 - target

    proved = [limit for limit in sorted(set(confidence.tolist())) if is_proved(limit)]
    assert abstain.threshold(confidence, correct, target=target) == (proved[0] if proved else None)


def test_no_image_proves_nothing() -> None:
    empty = np.empty(0)
    assert abstain.threshold(empty, empty.astype(bool), target=0.5) is None
    (entry,) = abstain.abstention(np.array([0.9]), np.array([True]), fit=(empty, empty.astype(bool)), targets=[0.9])
    assert (entry.threshold, entry.coverage, entry.accuracy, entry.fitted_on, entry.n) == (None, 0, None, 0, 1)
