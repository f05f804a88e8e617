import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetctl.config.models import ScheduleConfig
from resnetctl.engine.schedule import scale, warmup_steps


def curve(steps: int, warmup: int, **values: object) -> list[float]:
    schedule = ScheduleConfig.model_validate(values)
    return [scale(step, steps=steps, warmup=warmup, schedule=schedule) for step in range(steps)]


def test_warmup_rises_linearly_and_ends_on_the_peak() -> None:
    assert curve(10, 4, name="constant")[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_linear_starts_at_the_peak_and_would_reach_zero_one_step_after_the_last() -> None:
    values = curve(100, 0, name="linear")
    assert values[0] == 1.0
    assert values[-1] == pytest.approx(0.01)
    assert scale(100, steps=100, warmup=0, schedule=ScheduleConfig(name="linear")) == 0.0


def test_cosine_is_a_half_in_the_middle() -> None:
    assert curve(100, 0, name="cosine")[50] == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["cosine", "linear"])
def test_final_lr_is_the_floor(name: str) -> None:
    values = curve(1000, 10, name=name, final_lr=0.1)
    assert min(values[10:]) >= 0.1
    assert values[-1] == pytest.approx(0.1, abs=0.002)


def test_multistep_divides_where_the_paper_does() -> None:
    """He et al. 2015, 4.2: 64,000 steps, divided by ten at 32,000 and at 48,000."""
    schedule = ScheduleConfig(name="multistep", milestones=(0.5, 0.75), gamma=0.1)
    at = {step: scale(step, steps=64_000, warmup=0, schedule=schedule) for step in (31_999, 32_000, 47_999, 48_000)}
    assert list(at.values()) == pytest.approx([1.0, 0.1, 0.1, 0.01])


@pytest.mark.parametrize(("warmup", "steps"), [(0.0, 0), (2.0, 20), (0.5, 5), ("15%", 15), ("100%", 100), (50.0, 100)])
def test_warmup_in_epochs_or_as_a_share(warmup: float | str, steps: int) -> None:
    assert warmup_steps(warmup, steps=100, steps_per_epoch=10) == steps


@given(
    st.sampled_from(["cosine", "multistep", "linear", "constant"]),
    st.integers(1, 500),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_it_stays_within_zero_and_the_peak(name: str, steps: int, share: float, final: float) -> None:
    values = curve(steps, int(share * steps), name=name, final_lr=final)
    assert all(0 <= value <= 1 + 1e-12 for value in values)


@given(st.sampled_from(["cosine", "multistep", "linear"]), st.integers(2, 300))
def test_it_never_rises_after_the_warm_up(name: str, steps: int) -> None:
    values = curve(steps, 0, name=name)
    assert all(later <= earlier + 1e-12 for earlier, later in itertools.pairwise(values))
