"""The tasks of the core break no rule; each broken one breaks the rule of its case."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from resnetctl import registry
from resnetctl.engine.meters.segment import Segment, SegmentMeter
from resnetctl.spec import Agreement, Curve, Figure, Measured, Output
from resnetctl.testing import tasks
from resnetctl.testing.findings import judge_all


class Nameless(Segment):
    summary = " "


class OddOutputs(Segment):
    outputs = (Output(name="classes", shape=("height", "width")),)


class Generous(Segment):
    """Every prediction is perfect."""

    def meter(self, classes: Sequence[str]) -> Any:
        class Meter(SegmentMeter):
            def report(self) -> Measured:
                found = super().report()
                return replace(found, primary=Figure(name="miou", value=1.0), figures={"miou": 1.0})

        return Meter(classes)


class Crooked(Segment):
    """Each curve has an x of its own."""

    def meter(self, classes: Sequence[str]) -> Any:
        class Meter(SegmentMeter):
            def report(self) -> Measured:
                points = (((0.0, 1.0), (1.0, 0.0)), ((0.5, 1.0), (1.0, 0.0)))
                curves = tuple(Curve(name="a", axes=("threshold", "hits"), points=each) for each in points)
                return replace(super().report(), curves=curves)

        return Meter(classes)


class Forgetful(Segment):
    """Only the last batch counts."""

    def meter(self, classes: Sequence[str]) -> Any:
        class Meter(SegmentMeter):
            def add(self, prediction: Any, truth: Any) -> None:
                self._images.clear()
                super().add(prediction, truth)

        return Meter(classes)


class Agreeable(Segment):
    def agree(self, a: Any, b: Any) -> Agreement:
        return Agreement(same=1, total=1)


def failed(task: Any) -> list[str]:
    return [one.rule for one in judge_all("t", tasks.RULES, target=task) if not one.ok]


@pytest.mark.parametrize("name", ["classify", "detect", "multilabel", "segment"])
def test_the_tasks_of_the_core_follow_every_rule(name: str) -> None:
    assert failed(registry.get("task", name)) == []


@pytest.mark.parametrize(
    ("task", "rule"),
    [
        (Segment, "members"),
        (Nameless(), "members"),
        (OddOutputs(), "members"),
        (Generous(), "judges"),
        (Crooked(), "judges"),
        (Forgetful(), "batches"),
        (Agreeable(), "agrees"),
    ],
)
def test_a_broken_task_breaks_its_rule(task: Any, rule: str) -> None:
    assert failed(task)[:1] == [rule]


def test_a_task_with_other_outputs_is_not_judged_by_examples() -> None:
    class Keypoints(Segment):
        outputs = (*Segment.outputs, Output(name="more", shape=("batch",)))

    findings = {one.rule: one for one in judge_all("t", tasks.RULES, target=Keypoints())}
    assert findings["judges"].status == "skipped"
