"""Flipped labels are found first; images of an absent class, and confusions that are usual, are not."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetctl.trust import suspects as module
from resnetctl.trust.suspects import named


def suspects(shares: np.ndarray, labels: np.ndarray) -> list[tuple[int, int]]:
    """Suspects by the logits that a softmax would turn into these probabilities."""
    return module.suspects(shares, labels, logits=np.log(np.maximum(shares, 1e-300)))


def sample(count: int = 5000, *, classes: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (N, K) of a good network, and the true labels."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, classes, count)
    logits = draw.normal(size=(count, classes))
    logits[np.arange(count), labels] += 4
    shares = np.exp(logits)
    return shares / shares.sum(axis=1, keepdims=True), labels


def test_planted_flips_are_ranked_first() -> None:
    shares, labels = sample()
    flipped = np.random.default_rng(1).permutation(len(labels))[:100]
    wrong = labels.copy()
    wrong[flipped] = (wrong[flipped] + 1) % 5
    found = suspects(shares, wrong)
    first = [place for place, _ in found[:100]]
    assert np.isin(first, flipped).mean() >= 0.5
    assert np.mean([predicted == labels[place] for place, predicted in found if place in flipped]) > 0.9
    assert len(found) < 400


def test_a_network_that_is_too_sure_ranks_flips_as_well() -> None:
    """Its probabilities are 0 and 1, so their differences are equal; its logits still differ."""
    draw = np.random.default_rng(3)
    labels = draw.integers(0, 10, 10_000)
    logits = draw.normal(size=(10_000, 10))
    logits[np.arange(10_000), labels] += 3  # right on nine of ten
    flipped = draw.permutation(10_000)[:100]
    wrong = labels.copy()
    wrong[flipped] = (wrong[flipped] + 1) % 10
    precision = []
    for scale in (1, 30):
        scaled = np.exp(scale * (logits - logits.max(axis=1, keepdims=True)))
        shares = scaled / scaled.sum(axis=1, keepdims=True)
        found = module.suspects(shares, wrong, logits=scale * logits)
        precision.append(np.isin([place for place, _ in found[:100]], flipped).mean())
    assert min(precision) >= 0.5
    assert precision[1] >= precision[0] - 0.05


def test_labels_that_the_network_shares_are_no_suspects() -> None:
    shares, labels = sample()
    assert not [place for place, _ in suspects(shares, labels) if shares[place].argmax() == labels[place]]
    right = np.eye(5)[labels] * 0.9 + 0.02
    assert suspects(right, labels) == []


@pytest.mark.parametrize("count", [1, 2])
def test_few_images_and_absent_classes_divide_by_nothing(count: int) -> None:
    shares = np.array([[0.2, 0.8, 0.0], [0.1, 0.0, 0.9]])[:count]
    assert suspects(shares, np.zeros(count, np.int64)) == []  # no image is labelled 1 or 2


def test_suspects_have_names_and_probabilities() -> None:
    shares = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.95, 0.05]])
    labels = np.array([0, 0, 1, 1])
    found = suspects(shares, labels)
    assert found == [(3, 0), (0, 1)]
    first, second = named(
        found, shares, labels=labels, classes=("a", "<b>"), names=("x.png", "y.png"), twins={0: "z.png"}
    )
    assert (first.name, first.label, first.predicted, first.own, first.probability) == ("x.png", "<b>", "a", 0.05, 0.95)
    assert (first.twin, second.name, second.twin) == (None, "y.png", "z.png")
    json.dumps(first.to_json(), allow_nan=False)


@given(st.integers(0, 50), st.integers(2, 6), st.integers(1, 60))
def test_a_suspect_is_likelier_than_its_label_and_listed_once(seed: int, classes: int, count: int) -> None:
    shares, labels = sample(count, classes=classes, seed=seed)
    labels = np.roll(labels, 1)
    found = suspects(shares, labels)
    places = [place for place, _ in found]
    assert len(set(places)) == len(places)
    gaps = [shares[place, predicted] / shares[place, labels[place]] for place, predicted in found]
    assert gaps == sorted(gaps, reverse=True)
    assert all(gap > 1 for gap in gaps)
    for place, predicted in found:
        assert predicted != labels[place]
        assert shares[place, predicted] >= shares[labels == predicted, predicted].mean() - 1e-12


def test_no_image_has_no_suspect_and_names_are_as_many() -> None:
    assert suspects(np.empty((0, 3)), np.empty(0, np.int64)) == []
    shares, labels = np.array([[0.1, 0.9]]), np.array([0])
    with pytest.raises(ValueError, match="zip"):
        named([(0, 1)], shares, labels=labels, classes=("a", "b"), names=(), twins={})
