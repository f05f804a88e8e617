"""Tables beside the plots: what a reader must be able to look up, in text."""

from typing import Any

from resnetctl.report.page_tables import by_score, by_severity


def cells(**changes: Any) -> dict[str, Any]:
    values = [
        {"kind": kind, "severity": step, "accuracy": 0.5, "ece": 0.01 * step, "coverage": 0.9 - 0.1 * step}
        for kind in ("motion_blur", "fog")
        for step in (1, 2)
    ]
    return {"level": 0.9, "cells": values} | changes


def test_calibration_error_and_coverage_have_a_row_for_each_kind() -> None:
    (error, first, rows), (coverage, second, shares) = by_severity(cells())
    assert error == "Calibration error by severity"
    assert first == second == ("kind", "1", "2")
    assert rows == [("motion blur", "0.010", "0.020"), ("fog", "0.010", "0.020")]
    assert coverage.startswith("Coverage of the 90\u00a0% sets")
    assert shares == [("motion blur", "80.0", "70.0"), ("fog", "80.0", "70.0")]


def test_without_sets_there_is_no_coverage() -> None:
    assert len(list(by_severity(cells(level=None)))) == 1


def test_each_set_of_strange_images_has_one_row_in_the_order_of_the_scores() -> None:
    found = [
        {"set": name, "n": 1200, "score": score, "auroc": auroc, "fpr95": 0.125}
        for name in ("aliens", "noise:gauss")
        for score, auroc in (("knn", 0.97), ("msp", 0.5))
    ]
    (_, header, rows), (alarms, _, shares) = by_score(found)
    assert header == ("strange images", "largest probability", "distance to train")
    assert rows == [("aliens (1,200)", "0.500", "0.970"), ("noise:gauss (1,200)", "0.500", "0.970")]
    assert "95\u00a0%" in alarms
    assert shares[0] == ("aliens (1,200)", "12.5", "12.5")


def test_no_strange_images_give_empty_tables() -> None:
    assert all(not rows for _, _, rows in by_score([]))
