"""Scores of single images, against scikit-learn and scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import special
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from resnetctl.engine.metrics import probabilities
from resnetctl.trust import scores


def test_auroc_equals_scikit_learns_with_ties() -> None:
    draw = np.random.default_rng(0)
    strange, known = draw.integers(3, 12, 200).astype(float), draw.integers(0, 10, 300).astype(float)
    expected = roc_auc_score([1] * 200 + [0] * 300, np.concatenate([strange, known]))
    assert scores.auroc(strange, known) == pytest.approx(expected, abs=1e-12)


def test_fpr95_counts_known_images_at_the_threshold_of_95_percent() -> None:
    assert scores.fpr95(np.arange(100.0), np.array([4.0, 5.0, 6.0, 99.0])) == 3 / 4


def test_knn_is_the_distance_to_the_kth_neighbour_on_the_sphere() -> None:
    draw = np.random.default_rng(0)
    bank, features = draw.normal(size=(400, 8)), draw.normal(size=(2100, 8))
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)  # noqa: E731
    expected = NearestNeighbors(n_neighbors=5).fit(unit(bank)).kneighbors(unit(features))[0][:, 4]
    assert scores.knn(features, bank) == pytest.approx(expected, abs=1e-7)


def test_a_bank_smaller_than_the_neighbours_is_enough() -> None:
    assert scores.knn(np.ones((1, 3)), np.ones((2, 3))) == pytest.approx([0.0], abs=1e-7)


def test_msp_and_energy_rank_flat_logits_as_stranger() -> None:
    logits = np.array([[10.0, 0, 0], [1.0, 0, 0]])
    assert np.diff(scores.msp(logits)) > 0
    assert np.diff(scores.energy(logits)) > 0
    assert scores.energy(np.array([[1000.0, 0.0]])) == pytest.approx([-1000])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_probabilities_are_float64_and_do_not_overflow(dtype: type) -> None:
    shares = probabilities(np.array([[6e4, 0.0], [0.0, 0.0]], dtype))
    assert shares.dtype == np.float64
    assert shares.tolist() == [[1, 0], [0.5, 0.5]]
    assert scores.msp(np.zeros((1, 4), dtype)) == pytest.approx([0.75])


def test_scores_are_those_of_scipy() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 7)) * 30
    assert probabilities(logits) == pytest.approx(special.softmax(logits, axis=1), abs=1e-12)
    assert scores.energy(logits) == pytest.approx(-special.logsumexp(logits, axis=1), abs=1e-9)


@given(
    arrays(float, st.integers(1, 20), elements=st.integers(0, 5)),
    arrays(float, st.integers(1, 20), elements=st.integers(0, 5)),
)
def test_auroc_is_the_share_of_ordered_pairs(strange: np.ndarray, known: np.ndarray) -> None:
    pairs = (strange[:, None] > known).mean() + (strange[:, None] == known).mean() / 2
    assert scores.auroc(strange, known) == pytest.approx(pairs)
    assert scores.auroc(known, strange) == pytest.approx(1 - pairs)


@pytest.mark.parametrize("count", [1, 19, 20, 21, 100])
def test_the_threshold_calls_95_percent_strange_and_no_fewer(count: int) -> None:
    strange = np.arange(count, dtype=float)
    threshold = min(value for value in strange if scores.fpr95(strange, np.array([value])) == 1)
    assert (strange >= threshold).mean() >= 0.95
    assert (strange > threshold).mean() < 0.95


def test_knn_needs_no_image_and_no_length() -> None:
    assert scores.knn(np.empty((0, 3)), np.ones((2, 3))).shape == (0,)
    assert np.isfinite(scores.knn(np.zeros((2, 3)), np.eye(3))).all()
