"""Scores of images and rankings of classes are compared with scikit-learn and with results computed by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from resnetctl.engine.meters import scores as module
from resnetctl.engine.meters.scores import ClassRanking, Scores, rank
from resnetctl.engine.metrics import measure, probabilities

NAMES = ("ape", "bee", "cow")


def collected(logits: np.ndarray, labels: np.ndarray, *, batch: int = 7) -> Scores:
    scores = Scores(NAMES)
    for start in range(0, len(labels), batch):
        scores.add(logits[start : start + batch], labels[start : start + batch])
    return scores


@pytest.fixture
def sample() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.normal(size=(100, 3)).astype(np.float32) * 2, generator.integers(0, 3, 100)


def test_rankings_match_scikit_learn(sample: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = sample
    shares = probabilities(logits).astype(np.float32)
    rankings = collected(logits, labels).rankings()
    assert rankings is not None
    for place, ranking in enumerate(rankings):
        positive = labels == place
        assert ranking.name == NAMES[place]
        assert ranking.roc_auc == pytest.approx(roc_auc_score(positive, shares[:, place]), abs=1e-12)
        assert ranking.average_precision == pytest.approx(
            average_precision_score(positive, shares[:, place]), abs=1e-12
        )


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=60))
def test_ties_are_ranked_as_by_scikit_learn(pairs: list[tuple[int, bool]]) -> None:
    values = np.array([value / 4 for value, _ in pairs])
    positive = np.array([flag for _, flag in pairs])
    ranking = rank("a", values, positive=positive)
    if positive.all() or not positive.any():
        assert ranking == ClassRanking(name="a")
        return
    assert ranking.roc_auc == pytest.approx(roc_auc_score(positive, values), abs=1e-12)
    assert ranking.average_precision == pytest.approx(average_precision_score(positive, values), abs=1e-12)
    precision, recall, _ = precision_recall_curve(positive, values)
    best = np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12))
    assert ranking.precision is not None
    assert ranking.recall is not None
    found = 2 * ranking.precision * ranking.recall / (ranking.precision + ranking.recall)
    assert found == pytest.approx(best, abs=1e-9)
    taken = values >= ranking.threshold
    assert ranking.precision == pytest.approx(positive[taken].mean())
    assert ranking.recall == pytest.approx(positive[taken].sum() / positive.sum())


def test_the_points_of_a_curve_lie_on_those_of_scikit_learn(sample: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = sample
    rankings = collected(logits, labels).rankings()
    assert rankings is not None
    shares, positive = probabilities(logits).astype(np.float32)[:, 0], labels == 0
    curve = rankings[0].curve
    assert curve is not None
    misses, hits, limits = roc_curve(positive, shares, drop_intermediate=False)
    known = {round(float(limit), 6): (hit, miss) for hit, miss, limit in zip(hits, misses, limits, strict=True)}
    assert 3 <= len(curve["threshold"]) <= module.POINTS
    assert list(curve["threshold"]) == sorted(curve["threshold"], reverse=True)
    for limit, recall, miss in zip(curve["threshold"], curve["recall"], curve["false_positive_rate"], strict=True):
        assert (recall, miss) == pytest.approx(known[limit], abs=1e-6)
    precisions, recalls, limits = precision_recall_curve(positive, shares)
    rows = zip(limits, precisions[:-1], recalls[:-1], strict=True)
    pairs = {round(float(limit), 6): both for limit, *both in rows}
    for limit, precision, recall in zip(curve["threshold"], curve["precision"], curve["recall"], strict=True):
        assert (precision, recall) == pytest.approx(pairs[limit], abs=1e-6)
    assert (curve["recall"][-1], curve["false_positive_rate"][-1]) == (1.0, 1.0)
    steps = np.diff(np.add(curve["recall"], curve["false_positive_rate"]))
    assert steps.max() < 0.2  # evenly spread: a large step would hide a part of the curve


def test_curves_of_all_classes_together_are_bounded() -> None:
    positive = np.arange(100) % 2 == 0
    values = np.linspace(0, 1, 100)
    assert rank("a", values, positive=positive, points=2).curve is None
    short = rank("a", values, positive=positive, points=5).curve
    assert short is not None
    assert len(short["threshold"]) == 5
    tied = rank("a", np.ones(100), positive=positive).curve
    assert tied is not None
    assert tied["recall"] == (1.0,)


def test_too_many_probabilities_are_not_ranked(
    sample: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHEAP", 150)
    scores = collected(*sample)
    assert scores.rankings() is None
    assert len(scores.images()) == 100


def test_images_are_sorted_by_loss_and_agree_with_the_report(sample: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = sample
    scores = Scores(NAMES)
    batches = [
        (np.full((10, 2, 2, 1), start // 10, np.uint8), labels[start : start + 10]) for start in range(0, 100, 10)
    ]
    report = measure(lambda images: logits[10 * images[0, 0, 0, 0] :][:10], batches, classes=NAMES, each=scores.add)
    images = scores.images()
    losses = [image.loss for image in images]
    assert losses == sorted(losses, reverse=True)
    assert np.mean(losses) == pytest.approx(report.loss, rel=1e-12)
    assert sorted(image.place for image in images) == list(range(100))
    assert sum(image.label == image.predicted for image in images) == report.correct
    for image in images:
        assert image.label == NAMES[labels[image.place]]
        assert image.probability == pytest.approx(np.exp(-image.loss))


def test_the_loss_of_a_hopeless_image_is_finite() -> None:
    (image,) = collected(np.array([[1e4, 0, 0]], np.float32), np.array([1])).images()
    assert (image.loss, image.probability, image.predicted) == (1e4, 0.0, "ape")


def test_a_temperature_changes_probabilities_and_no_loss(sample: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = sample
    scores = Scores(NAMES, 2.0)
    scores.add(logits, labels)
    plain = {item.place: item for item in collected(logits, labels).images()}
    for item in scores.images():
        wanted = probabilities(logits[item.place][None] / 2)[0, labels[item.place]]
        assert item.probability == pytest.approx(wanted)
        assert item.loss == plain[item.place].loss
