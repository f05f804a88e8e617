"""A whole assessment of outputs whose truth is known."""

import dataclasses
import json

import numpy as np
import pytest
from support.evidence import make_evidence

from resnetctl.spec import Calibration
from resnetctl.trust.assessment import accuracy, assess, compare_classes, compare_evidence, drawbacks, notices
from resnetctl.trust.evidence import Evidence

NAMES = ("a", "b", "c", "d")


def right(evidence: Evidence) -> Evidence:
    """Return the outputs of a network that is right on every image."""
    return dataclasses.replace(evidence, logits=np.eye(4, dtype=np.float32)[evidence.labels] * 9)


def test_val_chooses_and_the_split_is_measured() -> None:
    judged = assess(make_evidence(4000), make_evidence(2000, seed=1))
    assert judged.calibration.temperature == pytest.approx(3, rel=0.08)
    assert (judged.calibration.fitted_on, judged.calibration.n) == ("val", 4000)
    assert judged.uncalibrated is not None
    assert judged.calibration.ece < 0.03 < judged.uncalibrated.ece
    for item in judged.conformal:
        assert item.coverage == pytest.approx(item.level, abs=0.03)
        assert item.fitted_on == 2000
    assert [item.target for item in judged.abstain] == [0.9, 0.95, 0.99]
    reached = [item for item in judged.abstain if item.threshold is not None]
    assert all(item.accuracy > item.target - 0.02 for item in reached)


def test_the_curve_ends_at_the_accuracy_of_all_images() -> None:
    measured = make_evidence(1000)
    judged = assess(measured, None)
    assert judged.risk_coverage[0].coverage == 1
    assert judged.risk_coverage[0].accuracy == pytest.approx(measured.correct.mean())
    assert judged.risk_coverage[-1].accuracy > judged.risk_coverage[0].accuracy


@pytest.mark.parametrize("val", [None, make_evidence(99)])
def test_without_enough_of_val_nothing_is_fitted(val: Evidence | None) -> None:
    judged = assess(make_evidence(500), val)
    assert (judged.calibration.temperature, judged.calibration.fitted_on) == (1, None)
    assert (judged.uncalibrated, judged.conformal, judged.abstain) == (None, (), ())


def test_a_val_that_is_all_right_gives_no_temperature() -> None:
    val = right(make_evidence(200))
    judged = assess(make_evidence(500), val)
    assert judged.calibration.fitted_on is None
    assert "val is too easy" in "\n".join(notices(make_evidence(500), val, classes=NAMES, split="test"))


def test_a_val_that_is_all_wrong_is_not_called_easy() -> None:
    val = right(make_evidence(200))
    told = [*notices(make_evidence(500), dataclasses.replace(val, logits=-val.logits), classes=NAMES, split="test")]
    assert told[0] == "no temperature is used: even at 20, the network is too sure of wrong answers on val"
    assert len(told) == 1


def test_one_image_divides_by_nothing() -> None:
    for measured in (make_evidence(1), right(make_evidence(1))):
        json.dumps(assess(measured, make_evidence(200)).to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("count", "val", "split", "text"),
    [
        (500, None, "test", "there is no val split"),
        (500, None, "val", "cannot be measured on val"),
        (500, make_evidence(60), "test", "val has 60 images, at least 100 are needed"),
        (1, make_evidence(200), "test", "test has 1 image: every number"),
    ],
)
def test_what_limits_the_numbers_is_said(count: int, val: Evidence | None, split: str, text: str) -> None:
    assert text in "\n".join(notices(make_evidence(count), val, classes=NAMES, split=split))


def test_absent_classes_are_named() -> None:
    few = make_evidence(500)
    rows = few.labels != 2
    few = dataclasses.replace(few, logits=few.logits[rows], labels=few.labels[rows])
    said = "\n".join(notices(few, few, classes=NAMES, split="test"))
    assert "val has no image of 'c'" in said
    assert "test has no image of 'c'" in said
    assert list(notices(make_evidence(500), make_evidence(500), classes=NAMES, split="test")) == []


def test_two_models_are_compared_on_all_images_and_by_class() -> None:
    measured = make_evidence(1000)
    whole = compare_evidence(right(measured), measured)
    assert (whole.only_this, whole.only_other) == (int((~measured.correct).sum()), 0)
    assert whole.verdict == "better"
    classes = list(compare_classes(right(measured), measured, classes=(*NAMES, "none")))
    assert sum(item.comparison.only_this for item in classes if item.comparison) == whole.only_this
    assert classes[-1].comparison is None
    assert compare_evidence(measured, measured).verdict == "not distinguishable"


def test_accuracy_has_no_times() -> None:
    document = accuracy(make_evidence(200).measured(NAMES))
    assert set(document) == {"top1", "interval", "top5", "loss", "correct", "per_class", "confusion"}


def test_a_temperature_that_suits_only_val_is_said() -> None:
    judged = assess(make_evidence(1000, factor=1), make_evidence(1000, factor=4))
    assert "makes the NLL worse" in "\n".join(drawbacks(judged))
    assert not list(drawbacks(assess(make_evidence(1000), make_evidence(1000, seed=1))))
    nll = judged.uncalibrated.nll if judged.uncalibrated else 0
    barely = dataclasses.replace(judged, calibration=dataclasses.replace(judged.calibration, nll=1.005 * nll))
    assert not list(drawbacks(barely)), "half a percent is chance"


def test_the_card_decides_before_val() -> None:
    card = Calibration(temperature=2.0, sets={"0.8": 0.5}, images=150)
    for val in (None, make_evidence(1000, seed=1)):
        judged = assess(make_evidence(1000), val, chosen=card)
        assert (judged.calibration.temperature, judged.calibration.fitted_on) == (2.0, "val")
        assert [(item.level, item.threshold, item.fitted_on) for item in judged.conformal] == [(0.8, 0.5, 150)]
        assert bool(judged.abstain) is (val is not None)
    said = "\n".join(notices(make_evidence(500), None, classes=NAMES, split="test", chosen=card))
    assert "no val split: thresholds for abstaining are left out" in said
