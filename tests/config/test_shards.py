"""Processes share shards evenly, or not at all."""

import pytest

from resnetctl.config.shards import most_processes, require_division, require_images
from resnetctl.errors import ConfigError, UsageError
from resnetctl.hints import Setting


@pytest.mark.parametrize(("shards", "processes"), [(1, 1), (4, 1), (4, 2), (4, 4), (6, 3)])
def test_processes_that_divide_the_shards_are_accepted(shards: int, processes: int) -> None:
    require_division(shards, processes)


@pytest.mark.parametrize(("shards", "processes", "more", "fewer"), [(4, 3, 6, 2), (1, 2, 2, 1), (4, 8, 8, 4)])
def test_others_are_refused_with_the_nearest_numbers(shards: int, processes: int, more: int, fewer: int) -> None:
    with pytest.raises(UsageError, match="evenly") as caught:
        require_division(shards, processes)
    hints = [(hint.name, hint.value) for hint in caught.value.hint if isinstance(hint, Setting)]
    assert hints == [("shards", more), ("processes", fewer)]


@pytest.mark.parametrize(("shards", "places", "most"), [(4, 2, 2), (4, 3, 2), (1, 64, 1), (6, 5, 3), (8, 0, 1)])
def test_auto_takes_the_most_processes_that_have_a_place(shards: int, places: int, most: int) -> None:
    assert most_processes(shards, places) == most


@pytest.mark.parametrize(("shards", "batch"), [(1, 1), (1, 2), (2, 4), (64, 128)])
def test_two_images_in_each_shard_are_enough(shards: int, batch: int) -> None:
    require_images(shards, batch_size=batch)


@pytest.mark.parametrize(("shards", "batch", "fewer"), [(2, 3, 1), (65, 128, 64), (2, 1, 1)])
def test_fewer_are_refused(shards: int, batch: int, fewer: int) -> None:
    with pytest.raises(ConfigError, match="batch norm needs two images") as caught:
        require_images(shards, batch_size=batch)
    hints = [(hint.name, hint.value) for hint in caught.value.hint if isinstance(hint, Setting)]
    assert hints == [("shards", fewer), ("batch_size", 2 * shards)]
