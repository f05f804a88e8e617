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


def test_it_is_an_entry_of_the_registry_like_any_other() -> None:
    assert registry.get("task", "classify") is classify
    assert registry.names("task") == ["classify", "detect", "segment"]


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
