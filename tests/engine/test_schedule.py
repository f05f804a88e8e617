import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetctl import registry
from resnetctl.config.schema import ProgressiveConfig, ScheduleConfig
from resnetctl.engine.schedule import factors, lengths, scale, side, stretches, warmup_steps, work
from resnetctl.errors import ConfigError
from resnetctl.spec import SchedulePoint


def curve(steps: int, warmup: int, **values: object) -> list[float]:
    schedule = ScheduleConfig.model_validate(values)
    return [scale(step, steps=steps, warmup=warmup, factor=factors(schedule)) for step in range(steps)]


def test_a_plugins_schedule_gets_the_keys_it_names_and_its_own_arguments() -> None:
    def power(point: SchedulePoint, *, final_lr: float = 0.0, power: float = 1.0) -> float:
        return final_lr + (1 - final_lr) * (1 - point.done) ** power

    with registry.overlay("schedule", power=power):
        assert curve(10, 0, name="power", final_lr=0.2, args={"power": 3}) == pytest.approx(
            [0.2 + 0.8 * (1 - step / 10) ** 3 for step in range(10)]
        )
        with pytest.raises(ConfigError, match=r"schedule 'power' cannot use schedule\.args"):
            curve(10, 0, name="power", args={"final_lr": 0.1})


def test_warmup_rises_linearly_and_ends_on_the_peak() -> None:
    assert curve(10, 4, name="constant")[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_linear_starts_at_the_peak_and_reaches_zero_one_step_after_the_last() -> None:
    values = curve(100, 0, name="linear")
    assert values[0] == 1.0
    assert values[-1] == pytest.approx(0.01)
    assert scale(100, steps=100, warmup=0, factor=factors(ScheduleConfig(name="linear"))) == 0.0


def test_cosine_is_one_half_in_the_middle() -> None:
    assert curve(100, 0, name="cosine")[50] == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["cosine", "linear"])
def test_the_rate_ends_at_final_lr_and_never_falls_below(name: str) -> None:
    values = curve(1000, 10, name=name, final_lr=0.1)
    assert min(values[10:]) >= 0.1
    assert values[-1] == pytest.approx(0.1, abs=0.002)


def test_multistep_divides_at_the_steps_of_the_paper() -> None:
    """He et al. 2015, 4.2: 64,000 steps, divided by ten at 32,000 and at 48,000."""
    schedule = ScheduleConfig(name="multistep", milestones=(0.5, 0.75), gamma=0.1)
    at = {
        step: scale(step, steps=64_000, warmup=0, factor=factors(schedule)) for step in (31_999, 32_000, 47_999, 48_000)
    }
    assert list(at.values()) == pytest.approx([1.0, 0.1, 0.1, 0.01])


@pytest.mark.parametrize(("warmup", "steps"), [(0.0, 0), (2.0, 20), (0.5, 5), ("15%", 15), ("100%", 100), (50.0, 100)])
def test_warmup_is_in_epochs_or_a_share_of_the_run(warmup: float | str, steps: int) -> None:
    assert warmup_steps(warmup, steps=100, steps_per_epoch=10) == steps


@given(
    st.sampled_from(["cosine", "multistep", "linear", "constant"]),
    st.integers(1, 500),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_the_rate_stays_between_zero_and_the_peak(name: str, steps: int, share: float, final: float) -> None:
    values = curve(steps, int(share * steps), name=name, final_lr=final)
    assert all(0 <= value <= 1 + 1e-12 for value in values)


@given(st.sampled_from(["cosine", "multistep", "linear"]), st.integers(2, 300))
def test_the_rate_never_rises_after_warm_up(name: str, steps: int) -> None:
    values = curve(steps, 0, name=name)
    assert all(later <= earlier + 1e-12 for earlier, later in itertools.pairwise(values))


def sides(steps: int, size: int, **values: object) -> list[int]:
    progressive = ProgressiveConfig.model_validate(values)
    return [side(step, steps=steps, size=size, progressive=progressive) for step in range(steps)]


def test_without_progressive_resizing_images_have_their_full_size() -> None:
    assert set(sides(50, 33)) == {33}


def test_the_side_is_small_then_grows_then_is_full() -> None:
    assert sides(10, 32, initial_scale=0.5) == [16, 16, 16, 16, 16, 16, 20, 28, 32, 32]


def test_without_time_to_grow_the_side_jumps() -> None:
    assert sides(4, 32, initial_scale=0.75, delay_fraction=0.5, finetune_fraction=0.5) == [24, 24, 32, 32]


def test_a_side_is_a_positive_multiple_of_the_unit() -> None:
    jumps = {"delay_fraction": 0.7, "finetune_fraction": 0.0, "size_increment": 7}
    assert sides(4, 30, initial_scale=0.5, **jumps) == [14, 14, 14, 30]
    assert sides(2, 8, initial_scale=0.01, delay_fraction=0.5, finetune_fraction=0.5) == [4, 8]
    assert sides(2, 8, initial_scale=0.5, size_increment=32, delay_fraction=0.5, finetune_fraction=0.5) == [8, 8]


def test_the_last_step_has_full_images_and_fractions_are_exact() -> None:
    assert sides(3, 32, initial_scale=0.5, delay_fraction=1.0, finetune_fraction=0.0) == [16, 16, 32]
    assert sides(1, 32, initial_scale=0.5) == [32]
    assert sides(10, 32, initial_scale=0.5, delay_fraction=0.3, finetune_fraction=0.7) == [16] * 3 + [32] * 7


@given(
    st.integers(1, 300),
    st.integers(1, 64),
    st.floats(0.01, 1),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(1, 16),
)
def test_stretches_are_the_sides_of_all_steps(
    steps: int, size: int, scale: float, delay: float, rest: float, unit: int
) -> None:
    values = {"initial_scale": scale, "delay_fraction": delay, "finetune_fraction": rest * (1 - delay)}
    progressive = ProgressiveConfig.model_validate(values | {"size_increment": unit})
    expected = [side(step, steps=steps, size=size, progressive=progressive) for step in range(steps)]
    assert expected == sorted(expected)
    assert 1 <= expected[0] <= expected[-1] == size
    changes = stretches(steps=steps, size=size, progressive=progressive)
    assert [pixels for count, pixels in lengths(changes, start=0, stop=steps) for _ in range(count)] == expected
    middle = steps // 2
    assert work(changes, start=0, stop=steps) == sum(pixels**2 for pixels in expected)
    assert work(changes, start=middle, stop=steps) == sum(pixels**2 for pixels in expected[middle:])
    assert work(changes, start=0, stop=middle) == sum(pixels**2 for pixels in expected[:middle])
