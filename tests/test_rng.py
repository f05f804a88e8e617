"""Seeds have pinned values (a change would break every resume), do not collide, and have no state."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from resnetctl.rng import derive


def test_seeds_are_pinned() -> None:
    assert derive(0, "order", 0) == 7_134_422_430_951_335_918
    assert derive(1, "step", 12, 3) == 2_043_883_253_445_389_287


@given(st.integers(0, 2**64), st.text(max_size=8), st.lists(st.integers(0, 10**9), max_size=3))
def test_seeds_fit_every_generator_and_repeat(seed: int, purpose: str, counters: list[int]) -> None:
    value = derive(seed, purpose, *counters)
    assert 0 <= value < 2**63
    assert value == derive(seed, purpose, *counters)


def test_neighbouring_seeds_and_counters_do_not_collide() -> None:
    seeds = [
        derive(seed, purpose, *at)
        for seed, purpose, at in product(range(6), ("order", "step"), product(range(6), range(3)))
    ]
    assert len(set(seeds)) == len(seeds)


def test_seed_and_counters_are_not_concatenated() -> None:
    assert derive(0, "order", 1, 11) != derive(0, "order", 11, 1) != derive(0, "order", 111)
    assert derive(1, "order", 0) != derive(0, "order", 1)


def test_all_bits_are_used() -> None:
    seeds = [derive(0, "bits", number) for number in range(2000)]
    for bit in range(63):
        share = sum(seed >> bit & 1 for seed in seeds) / len(seeds)
        assert 0.44 < share < 0.56  # five standard deviations
