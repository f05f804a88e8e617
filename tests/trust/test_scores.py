import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

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
