"""A speed-up is planned from the measured time of one block in each stage, evenly over the stages."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetctl.compress import speed_plan
from resnetctl.compress.depths import Depths
from resnetctl.compress.speed_plan import LatencyTable, candidates, even_depths, measure_table

TABLE = LatencyTable(whole=10.0, blocks=(0.5, 1.0, 0.0))


class Timed:
    """A network that needs a time for each block: 2, 4 and 0 ms by stage, and 2 ms more."""

    def __init__(self, depths: Depths) -> None:
        self.seconds = 0.002 + 0.002 * depths[0] + 0.004 * depths[1]

    def logits(self, images: np.ndarray) -> np.ndarray:
        time.sleep(self.seconds)
        return np.zeros((len(images), 2), np.float32)


def test_the_table_predicts_the_speed_up() -> None:
    assert TABLE.predicted((4, 4, 4), (4, 4, 4)) == 1
    assert TABLE.predicted((4, 4, 4), (2, 1, 1)) == pytest.approx(10 / (10 - 1 - 3))


def test_depths_shrink_evenly_and_never_empty_a_stage() -> None:
    choices = even_depths((9, 9, 9))
    assert choices[0] == (8, 8, 8) or choices[0] == (9, 9, 9) or sum(choices[0]) < 27
    assert choices[-1] == (1, 1, 1)
    assert all(max(keep) - min(keep) <= 1 for keep in choices)
    assert [sum(keep) for keep in choices] == sorted({sum(keep) for keep in choices}, reverse=True)
    assert all(min(keep) >= 1 for keep in even_depths((3, 8, 36, 3)))
    assert even_depths((1, 1)) == []


def test_the_largest_network_that_is_predicted_to_be_fast_enough_comes_first() -> None:
    depths = (4, 4, 4)
    choices = candidates(TABLE, depths, speedup=1.5)
    assert TABLE.predicted(depths, choices[0]) >= 1.5
    every = even_depths(depths)
    larger = every[: every.index(choices[0])]
    assert all(TABLE.predicted(depths, keep) < 1.5 for keep in larger)
    assert list(candidates(TABLE, depths, speedup=99)) == [(1, 1, 1)]


def test_the_table_is_measured_by_taking_blocks_out_of_one_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed_plan, "ROUNDS", 3)
    made: list[Depths] = []

    def export(depths: Depths) -> Timed:
        made.append(depths)
        return Timed(depths)

    table = measure_table((3, 3, 1), np.zeros((2, 4, 4, 1), np.uint8), export=export)  # type: ignore[arg-type]
    assert made == [(3, 3, 1), (1, 3, 1), (3, 1, 1)]
    assert table.blocks[2] == 0
    assert table.blocks[1] > table.blocks[0] > 0
    assert table.whole > 2 * table.blocks[1]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4).map(tuple))
def test_even_depths_are_smaller_distinct_and_end_with_one_block_a_stage(depths: Depths) -> None:
    choices = even_depths(depths)
    assert len(set(choices)) == len(choices)
    assert depths not in choices
    assert all(1 <= count <= depth for keep in choices for count, depth in zip(keep, depths, strict=True))
    assert choices[-1:] == ([(1,) * len(depths)] if max(depths) > 1 else [])


def test_a_table_that_saves_everything_predicts_a_finite_speed_up() -> None:
    table = LatencyTable(whole=1.0, blocks=(1.0,))
    assert table.predicted((5,), (1,)) == pytest.approx(1e9)
    assert table.predicted((5,), (5,)) == 1
    assert candidates(LatencyTable(whole=1.0, blocks=(0.0,)), (3,), speedup=1.01) == [(1,)]
