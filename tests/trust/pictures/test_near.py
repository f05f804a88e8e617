"""Planted copies are found, unrelated images are not, and images that are all alike say so."""

import numpy as np
import pytest
from support.shots import saved_again, shots

from resnetctl.trust.pictures import near
from resnetctl.trust.pictures.near import FOUND, Pair, kept, pairs, thumbnails

TRAIN = shots(300)
CHANGES = {
    "the same": lambda images: images,
    "mirrored": lambda images: images[:, :, ::-1],
    "JPEG": saved_again,
    "grey": lambda images: np.repeat(images.mean(axis=3, keepdims=True).astype(np.uint8), 3, axis=3),
    "less contrast": lambda images: (images * 0.5 + 60).astype(np.uint8),
    "shifted": lambda images: np.roll(images, (2, -1), axis=(1, 2)),
    "noisy": lambda images: np.clip(images + np.random.default_rng(0).normal(0, 8, images.shape), 0, 255).astype(
        np.uint8
    ),
}


def found(images: np.ndarray, others: np.ndarray) -> list[Pair]:
    return [pair for _, new in pairs(thumbnails(images), thumbnails(others)) for pair in new]


@pytest.mark.parametrize("name", CHANGES)
def test_planted_copies_are_found(name: str) -> None:
    copies = CHANGES[name](TRAIN[:50])
    mixed = np.concatenate([shots(50, seed=1), copies])
    hits = {(pair.row, pair.other) for pair in found(mixed, TRAIN)}
    assert not {row for row, _ in hits if row < 50}
    assert len(hits & {(50 + place, place) for place in range(50)}) >= (50 if name in ("the same", "mirrored") else 48)


def test_an_identical_image_has_correlation_1() -> None:
    (first, *_) = found(TRAIN[7:8], TRAIN)
    assert (first.row, first.other) == (0, 7)
    assert first.score == pytest.approx(1, abs=1e-5)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.concatenate([TRAIN[:20], shots(20, seed=3)])
    whole = found(images, TRAIN)
    monkeypatch.setattr(near, "_ROWS", 7)
    monkeypatch.setattr(near, "_COLUMNS", 33)
    monkeypatch.setattr(near, "_PAIRS", 11)
    parts = found(images, TRAIN)
    assert [(pair.row, pair.other) for pair in parts] == [(pair.row, pair.other) for pair in whole]
    assert [pair.score for pair in parts] == pytest.approx([pair.score for pair in whole], abs=1e-5)


def test_flat_images_are_no_pairs_and_divide_by_nothing() -> None:
    flat = np.full((6, 32, 32, 1), 90, np.uint8) + np.random.default_rng(0).integers(0, 2, (6, 32, 32, 1), np.uint8)
    assert found(flat, flat[:3]) == []
    assert found(TRAIN[:2], TRAIN[:1])[0].other == 0  # fewer images than neighbours


@pytest.mark.parametrize("size", [8, 28, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_thumbnails_have_one_size(size: int, channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, size, size, channels), dtype=np.uint8)
    assert thumbnails(images).shape == (3, 32, 32)
    assert thumbnails(images).dtype == np.uint8


def test_images_that_are_alike_list_nearly_identical_ones_only() -> None:
    few = [Pair(row=row, other=0, score=FOUND) for row in range(5)]
    assert kept(few, 100) == (few, False)
    same = Pair(row=9, other=1, score=0.995)
    assert kept([*few, same], 100) == ([same], True)
    assert kept([], 100) == ([], False)
