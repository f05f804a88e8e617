"""Sets keep the coverage that they promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from resnetctl.trust import conformal


def shares_and_labels(n: int, *, seed: int, classes: int = 10) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    shares = draw.dirichlet(np.full(classes, 0.3), size=n)
    return shares, (shares.cumsum(axis=1) > draw.random((n, 1))).argmax(axis=1)


def test_the_promised_coverage_holds_over_many_draws() -> None:
    covered = []
    for seed in range(200):
        limit = conformal.threshold(*shares_and_labels(200, seed=seed), level=0.9)
        test = shares_and_labels(2000, seed=seed + 10_000)
        covered.append(conformal.coverage(*test, limit=limit, level=0.9, fitted_on=200).coverage)
    assert np.mean(covered) == pytest.approx(181 / 201, abs=0.006)
    low, high = conformal.coverage_range(200, 0.9)
    assert np.mean([low - 0.01 <= value <= high + 0.01 for value in covered]) > 0.9


def test_the_threshold_is_the_conformal_quantile() -> None:
    shares, labels = shares_and_labels(99, seed=0)
    scores = np.sort(1 - shares[np.arange(99), labels])
    assert conformal.threshold(shares, labels, level=0.9) == pytest.approx(
        1 - scores[89], abs=1e-15
    )  # rank ceil(100 * 0.9)


def test_too_few_images_put_every_class_into_the_set() -> None:
    shares, labels = shares_and_labels(5, seed=0)
    limit = conformal.threshold(shares, labels, level=0.9)
    assert limit == 0
    assert conformal.sets(shares, limit).all()
    assert conformal.coverage_range(5, 0.9) == (1.0, 1.0)


def test_the_range_is_that_of_the_beta_distribution() -> None:
    assert conformal.coverage_range(1000, 0.9) == pytest.approx(stats.beta.ppf([0.025, 0.975], 901, 100), abs=1e-9)


def test_sets_are_counted() -> None:
    shares = np.array([[0.5, 0.5], [0.9, 0.1], [0.99, 0.01]])
    report = conformal.coverage(shares, np.array([0, 1, 0]), limit=0.5, level=0.9, fitted_on=50)
    assert (report.coverage, report.size, report.single, report.empty) == (2 / 3, 4 / 3, 2 / 3, 0)


@given(st.integers(1, 60), st.floats(0.5, 0.99), st.integers(0, 5))
def test_on_its_own_images_a_threshold_covers_at_least_the_level(count: int, level: float, seed: int) -> None:
    shares, labels = shares_and_labels(count, seed=seed)
    limit = conformal.threshold(shares, labels, level=level)
    report = conformal.coverage(shares, labels, limit=limit, level=level, fitted_on=count)
    assert report.coverage >= level - 1e-9
    assert 0 <= report.coverage_range[0] <= report.coverage_range[1] <= 1
    assert report.empty + report.single <= 1 + 1e-12


def test_a_higher_level_has_larger_sets() -> None:
    shares, labels = shares_and_labels(500, seed=1)
    limits = [conformal.threshold(shares, labels, level=level) for level in (0.5, 0.9, 0.95, 0.99)]
    assert limits == sorted(limits, reverse=True)
    sizes = [conformal.sets(shares, limit).sum() for limit in limits]
    assert sizes == sorted(sizes)


def test_the_fewest_images_that_give_a_threshold() -> None:
    for level, count in ((0.9, 9), (0.95, 19)):
        shares, labels = shares_and_labels(count, seed=0)
        own = shares[np.arange(count), labels]
        assert conformal.threshold(shares, labels, level=level) == pytest.approx(own.min())
        assert conformal.threshold(shares[1:], labels[1:], level=level) == 0
        assert conformal.coverage_range(count - 1, level) == (1.0, 1.0) != conformal.coverage_range(count, level)
