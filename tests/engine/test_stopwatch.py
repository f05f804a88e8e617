"""Timed functions take turns; the clock is simulated."""

from collections.abc import Callable

import pytest

from resnetctl.engine import stopwatch
from resnetctl.engine.stopwatch import Spread, interleave, ratios, spread


def test_a_spread_has_the_median_and_the_quartiles() -> None:
    assert spread([5.0, 1.0, 3.0, 2.0, 4.0]) == Spread(median=3.0, low=2.0, high=4.0, n=5)
    assert spread([7.0]) == Spread(median=7.0, low=7.0, high=7.0, n=1)


def test_ratios_divide_round_by_round() -> None:
    assert ratios([2.0, 6.0, 20.0], [1.0, 3.0, 10.0]) == Spread(median=2.0, low=2.0, high=2.0, n=3)
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return the function that advances a simulated clock by seconds."""
    now = [0.0]
    monkeypatch.setattr(stopwatch.time, "monotonic", lambda: now[0])

    def tick(seconds: float) -> None:
        now[0] += seconds

    return tick


def ways(clock: Callable[[float], None], seconds: dict[str, float], calls: list[str]) -> dict[str, Callable[[], float]]:
    def way(name: str) -> Callable[[], float]:
        def work() -> float:
            calls.append(name)
            clock(seconds[name])
            return float(len(calls))

        return work

    return {name: way(name) for name in seconds}


def test_ways_take_turns_in_alternating_order_after_a_warm_up_round(clock: Callable[[float], None]) -> None:
    calls: list[str] = []
    speeds = interleave(ways(clock, {"a": 0.1, "b": 0.1}, calls), seconds=60, rounds=3)
    assert "".join(calls) == "ab" + "ab" + "ba" + "ab"
    assert speeds == {"a": [3.0, 6.0, 7.0], "b": [4.0, 5.0, 8.0]}


def test_rounds_stop_with_the_time_but_not_before_the_third(clock: Callable[[float], None]) -> None:
    assert len(interleave(ways(clock, {"a": 1.0}, []), seconds=6.5, rounds=9)["a"]) == 6
    assert len(interleave(ways(clock, {"a": 99.0}, []), seconds=1, rounds=9)["a"]) == 3


def test_a_way_that_takes_too_long_is_left_out(clock: Callable[[float], None]) -> None:
    speeds = interleave(ways(clock, {"a": 2.0, "b": 1.0, "slow": 9.0, "c": 0.1}, []), seconds=20)
    assert list(speeds) == ["a", "b", "c"]


def test_needed_ways_are_timed_even_if_no_time_is_left_for_others(clock: Callable[[float], None]) -> None:
    calls: list[str] = []
    speeds = interleave(ways(clock, {"a": 40.0, "b": 0.1, "c": 0.1}, calls), seconds=20, needed=2)
    assert {name: len(values) for name, values in speeds.items()} == {"a": 3, "b": 3}
    assert "c" not in calls
