"""Windows of stored images: an order that needs few shards at a time, and what a cache must hold for it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from support.photos import both

from resnetctl.config.schema import TrainConfig
from resnetctl.data.loader import epoch_order, sampler_of, windowed_order
from resnetctl.data.splits import open_sets
from resnetctl.data.storage import windows as module
from resnetctl.data.storage.rows import FileImages
from resnetctl.data.storage.windows import classes_in_shards, require_cache, stored_in
from resnetctl.errors import ConfigError

STORED = torch.arange(1000) // 50  # 20 shards of 50 images


@pytest.mark.parametrize("window", [1, 4, 50])
def test_a_windowed_order_is_a_permutation_that_needs_few_at_a_time(window: int) -> None:
    order = windowed_order(STORED, 1000, window=window, seed=0, epoch=0)
    assert sorted(order.tolist()) == list(range(1000))
    places = STORED[order]
    spans = [(int((places == number).nonzero().min()), int((places == number).nonzero().max())) for number in range(20)]
    at_once = [sum(first <= place <= last for first, last in spans) for place in range(1000)]
    assert max(at_once) <= window + 1
    assert len(set(places[500:628].tolist())) >= min(window, 20)


def test_a_windowed_order_is_a_function_of_seed_and_epoch() -> None:
    orders = [
        windowed_order(STORED, 1000, window=3, seed=seed, epoch=epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0))
    ]
    again = windowed_order(STORED, 1000, window=3, seed=0, epoch=0)
    assert torch.equal(orders[0], again)
    assert not any(torch.equal(orders[0], other) for other in orders[1:])
    firsts = {tuple(dict.fromkeys((order // 50).tolist())) for order in orders}
    assert len(firsts) == 3  # the shards come in another order too


def test_a_windowed_order_does_not_depend_on_the_numbers_of_the_shards() -> None:
    """A held-out split, or a shard without an image of this set, leaves gaps."""
    orders = [windowed_order(stored, 1000, window=3, seed=0, epoch=0) for stored in (STORED, STORED * 7 + 3)]
    assert torch.equal(*orders)


def test_images_lie_in_shards_of_files_or_in_equal_parts_of_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, files = both(tmp_path)
    sets = [open_sets(store, val_fraction=0, seed=0)[0] for store in (raw, files)]
    assert stored_in(sets[1]).tolist() == [0] * 17
    monkeypatch.setattr(module, "STRETCH_BYTES", 5 * 24 * 24 * 3)
    assert stored_in(sets[0]).tolist() == [0] * 5 + [1] * 5 + [2] * 5 + [3] * 2
    config = TrainConfig(sampler="windowed", shuffle_window=2)
    assert sorted(sampler_of(sets[0], config)(17, seed=0, epoch=0).tolist()) == list(range(17))
    assert sampler_of(sets[0], TrainConfig()) is epoch_order


def remote(sizes: list[int], room: float) -> Any:
    """Return a set of images in shards of these sizes, one image a shard, with a cache of some bytes."""
    images = object.__new__(FileImages)
    files = SimpleNamespace(sizes=np.array(sizes), cache_bytes=lambda: room, shards=lambda rows: rows)
    images._files = files  # type: ignore[assignment]
    return SimpleNamespace(images=images, index=np.arange(len(sizes)))


@pytest.mark.parametrize(
    ("sampler", "room", "is_enough"),
    [
        ("shuffle", 99, False),
        ("shuffle", 100, True),
        ("balanced", 99, False),
        ("windowed", 59, False),
        ("windowed", 60, True),
    ],
)
def test_a_cache_must_hold_what_the_order_reads_at_a_time(sampler: str, room: float, is_enough: bool) -> None:
    config = TrainConfig(sampler=sampler, shuffle_window=2)  # type: ignore[arg-type]
    images = remote([20, 20, 20, 20, 20], room)
    if is_enough:
        require_cache(images, config)
        return
    with pytest.raises(ConfigError, match=f"sampler {sampler} reads .* of this remote") as caught:
        require_cache(images, config)
    assert caught.value.exit_code == 2
    assert any("RESNETCTL_CACHE_GB=" in str(hint) for hint in caught.value.hint)


def test_the_cache_that_is_proposed_is_large_enough() -> None:
    with pytest.raises(ConfigError) as caught:
        require_cache(remote([7_663_999_000], 1), TrainConfig())
    assert "RESNETCTL_CACHE_GB=7.664 makes it large enough" in caught.value.hint


def test_local_images_need_no_cache(tmp_path: Path) -> None:
    for store in both(tmp_path):
        require_cache(open_sets(store, val_fraction=0, seed=0)[0], TrainConfig())


def test_classes_in_shards_tell_sorted_images_from_shuffled_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STRETCH_BYTES", 50)
    labels = np.arange(1000) // 100

    def of(labels: np.ndarray) -> tuple[float, float]:
        images = SimpleNamespace(images=np.zeros((1000, 1, 1, 1), np.uint8), labels=labels, index=np.arange(1000))
        return classes_in_shards(images)  # type: ignore[arg-type]

    has, would = of(labels)
    assert (has, round(would, 1)) == (1, 9.9)
    mixed, _ = of(np.random.default_rng(0).permutation(labels))
    assert mixed > 9.5
