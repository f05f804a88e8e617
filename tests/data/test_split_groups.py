"""Images of one group are chosen together, and without groups the choice is as before."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetctl.data.split_groups import Twins, choose, divided, joined, pixel_key, sizes
from resnetctl.data.splits import share, stratified


def test_equal_pixels_have_equal_keys_whatever_their_strides() -> None:
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert pixel_key(image) == pixel_key(np.asfortranarray(image)) >= 0
    assert pixel_key(image) != pixel_key(image[::-1])


def test_groups_that_share_an_image_are_one_group() -> None:
    assert joined([5, 7, 5, -1, -1, 7]).tolist() == [0, 1, 0, 3, 4, 1]
    assert joined([5, 7, 5, -1, -1, 7], [-1, -1, 2, 2, -1, 2]).tolist() == [0, 0, 0, 0, 4, 0]


def test_a_long_chain_of_groups_takes_linear_time() -> None:
    times = []
    for count in (20_000, 200_000):
        numbers = np.arange(count)
        started = time.process_time()
        assert not joined(numbers // 2, (numbers + 1) // 2).any()
        times.append(time.process_time() - started)
    assert times[1] < 40 * times[0]


def test_sizes_and_divided_groups_are_counted() -> None:
    groups = np.array([0, 0, 2, 3, 3, 3])
    assert sizes(groups).tolist() == [2, 3]
    assert divided(groups, np.array([0, 1, 0, 1, 1, 1])) == 1
    assert divided(groups, np.array([0, 0, 2, 1, 1, 1])) == 0


@given(labels=st.lists(st.integers(0, 3), min_size=1, max_size=60), fraction=st.floats(0.01, 0.99))
def test_without_groups_the_choice_is_that_of_stratified(labels: list[int], fraction: float) -> None:
    values = np.array(labels)
    keys = np.random.PCG64(3).random_raw(len(labels))
    wanted = [share(count, fraction) for count in np.bincount(values).tolist()]
    rows = choose(values, keys, groups=np.arange(len(labels)), wanted=wanted)
    expected = [
        row
        for label, count in enumerate(wanted)
        for row in sorted(np.flatnonzero(values == label).tolist(), key=lambda row: (int(keys[row]), row))[:count]
    ]
    assert rows.tolist() == sorted(expected)


@given(
    images=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=60),
    fraction=st.floats(0, 0.99),
    seed=st.integers(0, 99),
)
def test_groups_are_never_divided_and_no_class_is_emptied(
    images: list[tuple[int, int]], fraction: float, seed: int
) -> None:
    labels, names = np.array([*images, (0, 77)], np.int64).T
    groups = joined(names)
    rows = stratified(labels, fraction, seed=seed, purpose="test", groups=groups)
    is_chosen = np.isin(np.arange(len(labels)), rows)
    assert divided(groups, is_chosen.astype(np.int64)) == 0
    assert set(labels.tolist()) == set(labels[~is_chosen].tolist())


def test_a_class_of_large_groups_gives_its_smallest_one() -> None:
    labels, names = np.zeros(100, np.int64), np.repeat([0, 1, 2], [50, 30, 20])
    for seed in range(5):
        rows = stratified(labels, 0.05, seed=seed, purpose="test", groups=joined(names))
        assert set(names[rows].tolist()) == {2}


@pytest.mark.parametrize(
    ("counts", "number", "note"),
    [
        ((), 0, ""),
        ((2,), 0, "1 pair of identical images, each pair in one split"),
        ((2, 2), 1, "2 pairs of identical images; 1 pair in two splits, where accuracy will be too good"),
        ((2, 3), 0, "5 identical images in 2 groups, each group in one split"),
    ],
)
def test_identical_images_are_told_in_a_sentence(counts: tuple[int, ...], number: int, note: str) -> None:
    assert Twins(sizes=counts, divided=number).note() == note
    if note:
        assert Twins(sizes=counts, divided=number, relabelled=2).note().startswith(f"{note}; 2 ")
