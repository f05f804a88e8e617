"""Cells, mean and interval of corrupted images, from outputs whose truth is known."""

import dataclasses
import json

import numpy as np
import pytest
from support.evidence import make_evidence

from resnetctl.engine.metrics import wilson
from resnetctl.trust.assessment import assess
from resnetctl.trust.shift import shift


def test_cells_are_measured_at_the_temperature_and_threshold_of_the_report() -> None:
    clean, noisy = make_evidence(2000), make_evidence(2000, seed=5, factor=6)
    judged = assess(clean, make_evidence(2000, seed=1))
    found = shift({("fog", 1): clean, ("fog", 2): noisy}, judged, source="resnetctl-c")
    first, second = found.cells
    assert (first.kind, first.severity, found.n, found.level) == ("fog", 1, 2000, 0.9)
    assert first.accuracy == clean.correct.mean()
    assert first.ece == pytest.approx(judged.calibration.ece)
    assert first.coverage == pytest.approx(judged.conformal[0].coverage)
    assert second.ece > first.ece
    assert found.mean == pytest.approx((first.accuracy + second.accuracy) / 2)


def test_the_interval_holds_the_mean_of_many_images() -> None:
    hits = 0
    for seed in range(100):
        part = make_evidence(300, seed=seed)
        found = shift({("fog", 1): part, ("fog", 2): part}, assess(part, None), source="x")
        hits += found.interval[0] <= make_evidence(50_000, seed=1000).correct.mean() <= found.interval[1]
    assert hits >= 88


def test_one_image_and_no_sets_divide_by_nothing() -> None:
    one = make_evidence(1)
    found = shift({("fog", 1): one}, assess(one, None), source="x")
    assert (found.level, found.cells[0].coverage) == (None, None)
    assert found.interval == pytest.approx(wilson(int(found.mean), 1))
    json.dumps(dataclasses.asdict(found), allow_nan=False)
    assert np.isfinite(found.mean)


def test_the_mean_is_over_cells_and_the_interval_over_images() -> None:
    right, wrong = (dataclasses.replace(make_evidence(400), labels=labels) for labels in _labels(400))
    found = shift({("fog", 1): right, ("fog", 2): wrong}, assess(right, None), source="x")
    assert [cell.accuracy for cell in found.cells] == [1, 0]
    assert found.mean == 0.5  # each image is right in one cell of two
    assert found.interval == pytest.approx(wilson(200, 400))
    alone = shift({("fog", 1): right}, assess(right, None), source="x")
    assert alone.interval == pytest.approx(wilson(400, 400)), "no mistake in 400 images is no proof of perfection"


def _labels(count: int) -> tuple[np.ndarray, np.ndarray]:
    answers = make_evidence(count).logits.argmax(axis=1)
    return answers, (answers + 1) % 4
