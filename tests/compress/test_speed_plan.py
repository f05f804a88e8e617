"""A speed-up is planned from the measured time of one block in each stage, evenly over the stages."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetctl.compress import speed_plan
from resnetctl.compress.depths import Depths
from resnetctl.compress.speed_plan import LatencyTable, even_depths, measure_table

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


def test_depths_shrink_by_one_block_evenly_and_never_empty_a_stage() -> None:
    assert even_depths((3, 3, 3)) == [(3, 3, 2), (3, 2, 2), (2, 2, 2), (2, 2, 1), (2, 1, 1), (1, 1, 1)]
    assert all(max(keep) - min(keep) <= 1 for keep in even_depths((9, 9, 9)))
    assert all(min(keep) >= 1 for keep in even_depths((3, 8, 36, 3)))
    assert even_depths((1, 1)) == []


def test_the_stage_whose_next_block_matters_least_gives_first() -> None:
    scores = {"layer1.1": 0.9, "layer1.2": 0.1, "layer2.1": 0.2, "layer2.2": 0.3, "layer3.1": 0.5, "layer3.2": 0.4}
    shapes = even_depths((3, 3, 3), scores)
    assert shapes == [(2, 3, 3), (2, 2, 3), (2, 2, 2), (2, 1, 2), (2, 1, 1), (1, 1, 1)]


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
def test_even_depths_lose_a_block_at_a_time_and_end_with_one_block_a_stage(depths: Depths) -> None:
    choices = even_depths(depths)
    assert [sum(keep) for keep in choices] == list(range(sum(depths) - 1, len(depths) - 1, -1))
    assert all(1 <= count <= depth for keep in choices for count, depth in zip(keep, depths, strict=True))
    assert choices[-1:] == ([(1,) * len(depths)] if max(depths) > 1 else [])


def test_a_table_that_saves_everything_predicts_a_finite_speed_up() -> None:
    table = LatencyTable(whole=1.0, blocks=(1.0,))
    assert table.predicted((5,), (1,)) == pytest.approx(1e9)
    assert table.predicted((5,), (5,)) == 1
