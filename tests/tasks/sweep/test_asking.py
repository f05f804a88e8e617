"""Optuna chooses the next setting from the results so far, the same one every time."""

import sys
from typing import Any

import pytest

from resnetctl.errors import ConfigError
from resnetctl.tasks.sweep.asking import Result, suggest

VARY = {"lr": {"low": 0.001, "high": 1.0, "log": True}, "size": {"low": 8, "high": 64}, "block": ["a", ["b"], "c"]}
pytest.importorskip("optuna")


def search(count: int, seed: int = 0) -> list[tuple[dict[str, Any], Result]]:
    """Return settings and results of a search whose best lr is .1 and whose best block is c."""
    tried: list[tuple[dict[str, Any], Result]] = []
    for _ in range(count):
        point = suggest(VARY, tried, seed=seed)
        tried.append((point, 1 - abs(point["lr"] - 0.1) - 0.3 * (point["block"] != "c")))
    return tried


def test_values_lie_in_their_ranges_and_repeat() -> None:
    tried = search(12)
    assert tried == search(12)
    assert tried != search(12, seed=1)
    for point, _ in tried:
        assert point.keys() == VARY.keys()
        assert 0.001 <= point["lr"] <= 1
        assert isinstance(point["size"], int)
        assert 8 <= point["size"] <= 64
        assert point["block"] in VARY["block"]


def test_a_search_learns() -> None:
    tried = search(40)
    late = [point for point, _ in tried[20:]]
    assert sum(point["block"] == "c" for point in late) >= 12, "a third by chance"
    assert sum(0.03 < point["lr"] < 0.3 for point in late) >= 12, "a third by chance"


def test_failed_and_open_runs_are_taken_and_change_the_choice() -> None:
    tried = search(12)
    open_ones = [(point, "open") for point, _ in tried[:3]]
    failed = [(point, "failed") for point, _ in tried[3:6]]
    assert suggest(VARY, [*open_ones, *failed, *tried[6:]], seed=0).keys() == VARY.keys()  # type: ignore[list-item]
    assert suggest(VARY, [*open_ones, *tried[3:]], seed=0) != suggest(VARY, tried, seed=0)  # type: ignore[list-item]


def test_a_range_of_one_value_and_its_ends_hold() -> None:
    one = {"lr": {"low": 0.123456789, "high": 0.123456789}}
    assert suggest(one, [], seed=0) == {"lr": 0.123456789}


def test_a_seed_may_be_larger_than_the_generators_own() -> None:
    assert suggest(VARY, [], seed=2**40 + 3) == suggest(VARY, [], seed=3)


def test_without_optuna_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match="needs the package optuna") as caught:
        suggest(VARY, [], seed=0)
    assert "optuna>=4" in str(caught.value.hint)
