"""The task of classifiers reports what `eval` reports."""

import numpy as np
import pytest
import torch

from resnetctl import registry
from resnetctl.engine.meters.classify import ClassifyMeter, classify
from resnetctl.engine.metrics import measure
from resnetctl.errors import DataError
from resnetctl.spec import Labels

CLASSES = ("a", "b", "c", "d", "e", "f")
DRAW = np.random.default_rng(0)
LOGITS = DRAW.normal(size=(20, 6)).astype(np.float32)
LABELS = DRAW.integers(0, 6, 20)


def test_the_numbers_are_those_of_measure() -> None:
    meter = ClassifyMeter(CLASSES)
    for rows in (slice(0, 7), slice(7, 20)):
        meter.add((LOGITS[rows],), Labels(labels=torch.from_numpy(LABELS[rows])))
    report = measure(lambda _: LOGITS, [(np.zeros((20, 1, 1, 1), np.uint8), LABELS)], classes=CLASSES)
    mine = meter.report()
    assert mine.primary.interval == report.interval
    assert mine.figures == pytest.approx({"top1": report.top1, "top5": report.top5, "loss": report.loss})
    assert [row["top1"] for row in mine.per_class] == [item.accuracy for item in report.per_class]


def test_each_image_has_the_probability_of_its_class() -> None:
    meter = ClassifyMeter(CLASSES)
    meter.add((LOGITS,), Labels(labels=torch.from_numpy(LABELS)))
    images = meter.report().per_image
    shares = torch.softmax(torch.from_numpy(LOGITS), 1)[torch.arange(20), torch.from_numpy(LABELS)]
    assert [item["probability"] for item in images] == pytest.approx(shares.tolist())
    assert [item["correct"] for item in images] == (LOGITS.argmax(1) == LABELS).tolist()


def test_it_is_an_entry_of_the_registry_like_any_other() -> None:
    assert registry.get("task", "classify") is classify
    assert registry.names("task") == ["classify", "detect", "multilabel", "segment"]


def test_no_image_is_an_error() -> None:
    with pytest.raises(DataError, match="no images"):
        ClassifyMeter(CLASSES).report()


def test_near_ties_agree_and_other_classes_do_not() -> None:
    one = np.array([[1.0, 1.00001, 0.0]], np.float32)
    tie, other = one[:, [1, 0, 2]], one[:, ::-1]
    assert classify.agree((one,), (tie,)).share == 1
    agreement = classify.agree((one,), (other - [[0, 5, 0]],))
    assert agreement.share == 0
    assert agreement.problems == ("image 0: classes 1 and 2",)


def test_agreement_is_counted_by_image_and_names_those_that_differ() -> None:
    other = LOGITS.copy()
    other[[3, 11]] = other[[3, 11]][:, ::-1] * 2
    agreement = classify.agree((LOGITS,), (other,))
    assert (agreement.same, agreement.total) == (18, 20)
    assert agreement.largest == pytest.approx(np.abs(LOGITS.astype(np.float64) - other).max())
    assert [problem.split(":")[0] for problem in agreement.problems] == ["image 3", "image 11"]


@pytest.mark.parametrize(("gap", "same"), [(0.9e-4, True), (1.1e-4, False)])
@pytest.mark.parametrize("size", [1.0, 100.0])
def test_what_counts_as_rounding_grows_with_the_largest_logit(gap: float, same: bool, size: float) -> None:
    one = np.array([[size, size - gap * size, 0.0]])
    two = np.array([[size - gap * size, size, 0.0]])
    assert (classify.agree((one,), (two,)).share == 1) == same


def test_nothing_agrees_with_nothing() -> None:
    none = np.empty((0, 6), np.float32)
    agreement = classify.agree((none,), (none,))
    assert (agreement.share, agreement.total, agreement.largest) == (1, 0, 0)


def test_a_class_without_an_image_has_no_accuracy_and_five_classes_make_top5_certain() -> None:
    meter = ClassifyMeter(CLASSES[:5])
    meter.add((LOGITS[:4, :5],), Labels(labels=torch.tensor([0, 0, 1, 4])))
    report = meter.report()
    assert report.figures["top5"] == 1
    assert [row["count"] for row in report.per_class] == [2, 1, 0, 0, 1]
    assert report.per_class[2]["top1"] is None
