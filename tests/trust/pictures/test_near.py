"""Planted copies are found, unrelated images are not, and images that are all alike say so."""

import numpy as np
import pytest
from PIL import Image
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


@pytest.mark.parametrize(("shift", "is_found"), [((0, 4), True), ((-4, 4), True), ((3, -2), True), ((0, 7), False)])
@pytest.mark.parametrize("turn", [1, -1], ids=["as it is", "mirrored"])
def test_the_score_is_that_of_the_best_shift_up_to_four_pixels(
    shift: tuple[int, int], is_found: bool, turn: int
) -> None:
    wide = np.kron(np.random.default_rng(5).integers(0, 256, (10, 16, 16), np.uint8), np.ones((3, 3), np.uint8))
    still, moved = wide[:, 5:37, 5:37], wide[:, 5 + shift[0] :, 5 + shift[1] :][:, :32, :32]
    scores = near._scores(near._fine(still), near._fine(moved)[:, :, ::turn])
    assert scores.shape == (10,)
    assert (scores.min() >= FOUND) if is_found else (scores.max() < FOUND)


def test_a_mirrored_shifted_copy_is_found() -> None:
    moved = np.roll(TRAIN[:20, :, ::-1], (1, 2), axis=(1, 2))
    assert len({(pair.row, pair.other) for pair in found(moved, TRAIN)} & {(place, place) for place in range(20)}) >= 18


def moved(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Return images moved by up to four pixels; the border is repeated where nothing is known."""
    wide = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)), mode="edge")
    return wide[:, 4 - down : 36 - down, 4 - right : 36 - right]


@pytest.mark.parametrize("shift", [(2, 2), (4, 0), (-3, 1), (3, -3)])
@pytest.mark.parametrize("turn", [1, -1], ids=["as it is", "mirrored"])
def test_copies_shifted_by_several_pixels_are_candidates_among_many(shift: tuple[int, int], turn: int) -> None:
    """Thumbnails of shifted images do not correlate, their spectra do."""
    others = shots(1500, seed=8)
    copies = moved(others[:60], *shift)[:, :, ::turn]
    hits = {(pair.row, pair.other) for pair in found(copies, others)}
    assert len(hits & {(place, place) for place in range(60)}) >= 57


def test_a_spectrum_stays_when_an_image_is_mirrored_and_nearly_when_it_is_shifted() -> None:
    greys = thumbnails(TRAIN)
    still, turned = near._spectra(near._fine(greys)), near._spectra(near._fine(greys[:, :, ::-1]))
    assert turned == pytest.approx(still, abs=1e-2)
    away = near._spectra(near._fine(thumbnails(moved(TRAIN, 2, -1))))
    own = np.abs(away - still).mean()
    assert own < np.abs(away - np.roll(still, 1, axis=0)).mean() / 2


def test_pairs_of_a_row_come_best_first_and_once() -> None:
    others = np.concatenate([saved_again(TRAIN[:5]), TRAIN[:5], shots(40, seed=5)])
    hits = found(TRAIN[:5], others)
    assert [pair.row for pair in hits] == sorted(pair.row for pair in hits)
    for row in range(5):
        own = [pair for pair in hits if pair.row == row]
        assert [pair.other for pair in own[:2]] == [row + 5, row]
        assert own[0].score >= own[1].score >= FOUND
        assert len({pair.other for pair in own}) == len(own)
    assert all(FOUND <= pair.score <= 1 for pair in hits)


def test_progress_counts_the_images_that_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "_ROWS", 4)
    greys = thumbnails(TRAIN[:10])
    assert [done for done, _ in pairs(greys, greys)] == [4, 8, 10]
    assert list(pairs(greys[:0], greys)) == []


def test_the_exact_score_is_a_plain_correlation_at_the_best_shift() -> None:
    one, other = near._fine(thumbnails(TRAIN[:2]))
    best = 0.0
    for y in range(-4, 5):
        for x in range(-4, 5):
            mine, its = (np.roll(one, (-y, -x), axis=(0, 1)), other)
            window = np.s_[max(0, -y) : 32 + min(0, -y), max(0, -x) : 32 + min(0, -x)]
            a, b = mine[window].astype(float), its[window].astype(float)
            best = max(best, (a * b).sum() / max(np.sqrt((a**2).sum() * (b**2).sum()), a.size * near._FLAT**2))
    assert near._exact(one[None], other[None])[0] == pytest.approx(best, rel=1e-4)


def test_the_share_of_alike_images_is_exclusive() -> None:
    few = [Pair(row=row, other=1, score=0.9) for row in range(5)]
    many = [*few, Pair(row=4, other=2, score=0.9)]  # the same image twice
    assert kept(many, 100) == (many, False)
    assert kept([*many, Pair(row=5, other=1, score=0.9)], 100) == ([], True)
    limit = [Pair(row=row, other=0, score=near.IDENTICAL) for row in range(9)]
    assert kept(limit, 10) == (limit, True)


def test_grey_thumbnails_have_the_luminance_of_pillow() -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    wanted = np.asarray(Image.fromarray(image[0]).convert("L")).astype(int)
    assert np.abs(thumbnails(image)[0].astype(int) - wanted).max() <= 1
    assert np.array_equal(thumbnails(image[..., :1])[0], image[0, ..., 0])
