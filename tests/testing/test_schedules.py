"""The schedules of the core break no rule; each broken one breaks the rule of its case."""

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest

from resnetctl import registry
from resnetctl.spec import SchedulePoint
from resnetctl.testing import schedules
from resnetctl.testing.findings import judge_all

COUNTER = itertools.count()


def without_default(point: SchedulePoint, *, power: float) -> float:
    return power


def rises(point: SchedulePoint) -> float:
    return 1 + point.done


def divides(point: SchedulePoint) -> float:
    return point.step / (point.steps - 1)


def text(point: SchedulePoint) -> Any:
    return "0.1"


def zero(point: SchedulePoint) -> float:
    return 0.0


def counts(point: SchedulePoint) -> float:
    return 1 / (1 + next(COUNTER))


def draws(point: SchedulePoint) -> float:
    return random.random()


def failed(schedule: Callable[..., Any]) -> list[str]:
    return [one.rule for one in judge_all("s", schedules.RULES, target=schedule) if not one.ok]


@pytest.mark.parametrize("name", ["cosine", "linear", "multistep", "constant"])
def test_the_schedules_of_the_core_follow_every_rule(name: str) -> None:
    assert failed(registry.get("schedule", name)) == []


@pytest.mark.parametrize(
    ("schedule", "rule"),
    [
        (without_default, "signature"),
        (rises, "factors"),
        (divides, "factors"),
        (text, "factors"),
        (zero, "factors"),
        (counts, "stateless"),
        (draws, "stateless"),
    ],
)
def test_a_broken_schedule_breaks_its_rule(schedule: Callable[..., Any], rule: str) -> None:
    assert failed(schedule)[:1] == [rule]
