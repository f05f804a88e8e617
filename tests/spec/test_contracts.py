"""Values that policies and schedules get or give."""

import pytest

from resnetctl.spec import Policy, SchedulePoint


def test_a_policy_does_not_mirror_by_default() -> None:
    policy = Policy(name="p", build=lambda image, num_classes: lambda batch: batch)
    assert not policy.mirrors
    assert policy.unmirrored is None


@pytest.mark.parametrize(
    ("step", "steps", "warmup", "done"), [(0, 10, 0, 0.0), (4, 10, 2, 0.25), (10, 10, 2, 1.0), (5, 5, 5, 0.0)]
)
def test_the_share_that_is_done_counts_from_the_warm_up(step: int, steps: int, warmup: int, done: float) -> None:
    assert SchedulePoint(step=step, steps=steps, warmup=warmup).done == done
