"""Gates compare figures of a report with limits, and say both in percent."""

import dataclasses
import math
from typing import Any

import pytest

from resnetctl.engine.meters.gates import SHOWN, Gates
from resnetctl.engine.metrics import ClassReport, EvalReport, wilson
from resnetctl.errors import CheckFailed, UsageError
from resnetctl.hints import Setting
from resnetctl.spec import Figure, Measured


def report(*classes: tuple[int, int]) -> EvalReport:
    """Return the report of classes `a`, `b`, ... with (images, correct images)."""
    rows = tuple(
        ClassReport(
            name="abcdefghijklmnopq"[place], count=count, correct=right, accuracy=right / count if count else None
        )
        for place, (count, right) in enumerate(classes)
    )
    count, correct = sum(row.count for row in rows), sum(row.correct for row in rows)
    confusion = tuple(
        tuple(
            row.correct if i == j else row.count - row.correct if j == (i + 1) % len(rows) else 0
            for j in range(len(rows))
        )
        for i, row in enumerate(rows)
    )
    return EvalReport(
        top1=correct / count, top5=None, loss=1.0, count=count, correct=correct, per_class=rows, confusion=confusion,
        interval=wilson(correct, count), seconds=1.0, images_per_second=float(count),
    )  # fmt: skip


CONSTANT = report((90, 90), (10, 0))  # always answers "a"


def test_a_constant_classifier_passes_only_the_accuracy() -> None:
    Gates(min_accuracy=0.9).check(CONSTANT)
    for name, message in {
        "min_balanced_accuracy": "the balanced accuracy is 50.00 %, below the required 60 %",
        "min_per_class": "the accuracy of class 'b' is 0.00 %, below the required 60 %",
        "min_lower": "the lower end of the 95 % interval is 82.56 %, below the required 85 %",
    }.items():
        with pytest.raises(CheckFailed) as caught:
            Gates.of({name: 0.85 if name == "min_lower" else 0.6}).check(CONSTANT)
        assert (caught.value.message, caught.value.where) == (message, Setting(name))
        assert caught.value.exit_code == 5


def test_limits_that_are_met_are_named_if_none_is_missed() -> None:
    assert Gates(min_accuracy=0.9, min_per_class=0.0).met(CONSTANT) == ["accuracy 0.9", "each class 0"]
    assert Gates(min_accuracy=0.9, min_balanced_accuracy=0.6).met(CONSTANT) == []
    assert Gates().met(CONSTANT) == []
    every = {field.name: 0.0 for field in dataclasses.fields(Gates)}
    assert len(Gates(**every).met(CONSTANT)) == len(every)


def test_one_error_names_every_failed_gate() -> None:
    with pytest.raises(CheckFailed, match="below the required limits") as caught:
        Gates(min_accuracy=0.95, min_balanced_accuracy=0.5, min_per_class=1.0, min_lower=0.9).check(CONSTANT)
    assert caught.value.problems == (
        "the accuracy is 90.00 %, below the required 95 %",
        "the lower end of the 95 % interval is 82.56 %, below the required 90 %",
        "the accuracy of class 'b' is 0.00 %, below the required 100 %",
    )


def test_many_failed_classes_are_counted_worst_first() -> None:
    with pytest.raises(CheckFailed) as caught:
        Gates(min_per_class=1.0).check(report(*((20, 19 - place) for place in range(15))))
    assert caught.value.problems[0].startswith("the accuracy of class 'o' is 25.00 %")
    assert len(caught.value.problems) == SHOWN + 1
    assert caught.value.problems[-1] == "and 5 more"


def test_a_class_without_images_is_not_checked() -> None:
    Gates(min_per_class=0.5).check(report((10, 9), (0, 0)))


def test_a_figure_equal_to_its_limit_passes_and_one_below_does_not_look_equal() -> None:
    Gates(min_accuracy=0.29).check(report((100, 29), (0, 0)))
    with pytest.raises(CheckFailed, match=r"is 79\.99 %, below the required 80 %"):
        Gates(min_accuracy=0.8).check(report((100_000, 79_999), (0, 0)))


@pytest.mark.parametrize("name", ["min_accuracy", "min_balanced_accuracy", "min_per_class", "min_lower"])
@pytest.mark.parametrize(
    ("value", "share"), [(75, 0.75), (97.5, 0.975), (101, None), (-0.1, None), (math.nan, None), ("0.9", None)]
)
def test_a_limit_that_is_not_a_fraction_is_refused(name: str, value: Any, share: float | None) -> None:
    with pytest.raises(UsageError, match="a fraction between 0 and 1, not") as caught:
        Gates.of({name: value})
    assert caught.value.where == Setting(name)
    assert caught.value.hint == (() if share is None else (Setting(name, share),))


def test_an_unknown_limit_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match="unknown argument 'min_acc'") as caught:
        Gates.of({"min_acc": 0.5})
    assert caught.value.hint == ("did you mean 'min_accuracy'?",)


def measured(interval: tuple[float, float] | None = (0.4, 0.6)) -> Measured:
    rows = (
        {"name": "a", "count": 3, "ap50": 0.75},
        {"name": "b", "count": 0, "ap50": None},
        {"name": "c", "count": 1, "ap50": 0.25},
    )
    return Measured(
        primary=Figure(name="map50", value=0.5, interval=interval), count=4, figures={"map50": 0.5}, per_class=rows
    )


@pytest.mark.parametrize(
    ("name", "passes", "fails", "message"),
    [
        ("min_primary", 0.5, 0.51, "map50 is 50.00 %, below the required 51 %"),
        ("min_lower", 0.4, 0.41, "the lower end of the 95 % interval of map50 is 40.00 %, below the required 41 %"),
        ("min_per_class", 0.25, 0.3, "the ap50 of class 'c' is 25.00 %, below the required 30 %"),
    ],
)
def test_the_numbers_of_any_task_can_have_limits(name: str, passes: float, fails: float, message: str) -> None:
    Gates.of({name: passes}).check(measured())
    with pytest.raises(CheckFailed) as caught:
        Gates.of({name: fails}).check(measured())
    assert (caught.value.message, caught.value.where) == (message, Setting(name))


def test_a_limit_of_a_number_that_was_not_measured_is_an_error_not_a_pass() -> None:
    for gates, found in ((Gates(min_accuracy=0.1), measured()), (Gates(min_lower=0.1), measured(None))):
        with pytest.raises(UsageError, match="no such number"):
            gates.require_known(found)
    Gates(min_primary=0.1, min_lower=0.1, min_per_class=0.1).require_known(measured())
    Gates(min_primary=0.1, min_accuracy=0.1).require_known(CONSTANT)
    with pytest.raises(CheckFailed, match="the accuracy is 90"):
        Gates(min_primary=0.95).check(CONSTANT)


def test_a_task_without_numbers_of_classes_has_no_limit_on_every_class() -> None:
    bare = Measured(primary=Figure(name="right", value=0.5), count=4, figures={"right": 0.5})
    with pytest.raises(UsageError, match="no such number"):
        Gates(min_per_class=0.1).require_known(bare)


def test_classes_without_a_number_are_named_where_each_class_has_a_limit() -> None:
    assert Gates(min_per_class=0.1).unchecked(measured()) == ["b"]
    assert Gates(min_per_class=0.1).unchecked(report((10, 9), (0, 0))) == ["b"]
    assert Gates(min_primary=0.1).unchecked(measured()) == []
