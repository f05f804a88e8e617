"""Scores of strangers, and noise that depends on the index of an image only."""

import dataclasses

import numpy as np
import pytest
from support.evidence import make_evidence

from resnetctl.trust.strangers import NOISE, noise, strangers

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)


def test_every_set_has_an_entry_for_each_score() -> None:
    known, bank = make_evidence(200), make_evidence(300, seed=1)
    found = list(strangers(known, {"a": make_evidence(50, seed=2), "b": make_evidence(20, seed=3)}, bank=bank))
    assert [(item.set, item.score, item.n) for item in found] == [
        ("a", "msp", 50), ("a", "energy", 50), ("a", "knn", 50),
        ("b", "msp", 20), ("b", "energy", 20), ("b", "knn", 20),
    ]  # fmt: skip
    assert {item.positive for item in found} == {"strange"}
    assert all(item.auroc == pytest.approx(0.5, abs=0.15) for item in found), "they are of the same kind"


def test_features_far_from_the_bank_are_strange() -> None:
    bank = make_evidence(300)
    assert bank.features is not None
    near, far = np.abs(bank.features), -np.abs(bank.features[:50])
    bank = dataclasses.replace(bank, features=near)
    known = dataclasses.replace(make_evidence(100), features=near[:100])
    other = dataclasses.replace(make_evidence(50), features=far)
    found = {item.score: item for item in strangers(known, {"far": other}, bank=bank)}
    assert (found["knn"].auroc, found["knn"].fpr95) == (1, 0)


def test_without_features_there_is_no_distance() -> None:
    known = dataclasses.replace(make_evidence(50), features=None)
    found = strangers(known, {"a": make_evidence(20)}, bank=make_evidence(30))
    assert [item.score for item in found] == ["msp", "energy"]
    assert [item.score for item in strangers(make_evidence(50), {"a": make_evidence(20)}, bank=None)] == [
        "msp",
        "energy",
    ]


@pytest.mark.parametrize("kind", NOISE)
def test_noise_depends_on_the_index_only(kind: str) -> None:
    made = noise(kind, IMAGES)
    assert (made.shape, made.dtype) == (IMAGES.shape, np.uint8)
    assert np.array_equal(noise(kind, IMAGES[:2]), made[:2])
    assert not np.array_equal(made[0], made[1])
    assert not np.array_equal(noise(kind, IMAGES, seed=1), made)


def test_tiles_are_moved_and_none_is_lost() -> None:
    made = noise("tiles", IMAGES)
    assert np.array_equal(np.sort(made[0].ravel()), np.sort(IMAGES[0].ravel()))
    assert not np.array_equal(made[0], IMAGES[0])


@pytest.mark.parametrize("side", [1, 3, 7])
@pytest.mark.parametrize("kind", NOISE)
def test_images_of_any_size_give_noise(kind: str, side: int) -> None:
    assert noise(kind, IMAGES[:2, :side, :side]).shape == (2, side, side, 3)


def test_blobs_are_smooth_and_gauss_is_not() -> None:
    def roughness(images: np.ndarray) -> float:
        return float(np.abs(np.diff(images.astype(int), axis=1)).mean())

    assert roughness(noise("blobs", IMAGES)) * 3 < roughness(noise("gauss", IMAGES))


@pytest.mark.parametrize("side", [4, 9, 32])
def test_tiles_of_any_grid_keep_their_pixels_together(side: int) -> None:
    ramp = np.arange(side * side, dtype=np.uint16).astype(np.uint8).reshape(1, side, side, 1)
    made = noise("tiles", ramp)
    assert set(np.unique(made)) <= set(np.unique(ramp))
    if side == 32:
        tiles = {made[0, y : y + 8, x : x + 8].tobytes() for y in range(0, 32, 8) for x in range(0, 32, 8)}
        assert tiles == {ramp[0, y : y + 8, x : x + 8].tobytes() for y in range(0, 32, 8) for x in range(0, 32, 8)}


def test_noise_has_the_stated_spread_and_an_unknown_kind_has_no_images() -> None:
    gauss = noise("gauss", np.zeros((4, 64, 64, 1), np.uint8))
    assert gauss.mean() == pytest.approx(127.5, abs=2)
    blobs = noise("blobs", IMAGES)
    assert all((one.min(), one.max()) == (0, 255) for one in blobs)
    with pytest.raises(KeyError):
        noise("snow", IMAGES)
