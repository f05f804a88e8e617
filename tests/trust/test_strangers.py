"""Scores of strangers, what is familiar to a card, and noise that depends on the index of an image only."""

import dataclasses

import numpy as np
import pytest
from support.evidence import make_evidence

from resnetctl.spec import Familiar
from resnetctl.trust.evidence import Evidence
from resnetctl.trust.strangers import MOST, NOISE, distances, fit_familiar, noise, strangers

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


def clustered(count: int, *, seed: int, classes: int = 5, width: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Return features (N, D) around one direction for each class, and labels (N,)."""
    centres = np.random.default_rng(9).normal(size=(classes, width))
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, count)
    return (centres[labels] + generator.normal(size=(count, width)) / 2).astype(np.float32), labels


@pytest.mark.parametrize("count", [100, 145, 2000])
def test_known_images_pass_the_limit_as_often_as_promised(count: int) -> None:
    shares = []
    for seed in range(20):
        fitted = fit_familiar(*clustered(count, seed=seed))
        assert fitted is not None
        fresh, _ = clustered(4000, seed=1000 + seed)
        shares.append((distances(fresh, fitted) > fitted.limit).mean())
    assert 0.003 < np.mean(shares) <= 0.0125, "1 % is promised, on average over val"


def test_images_far_from_every_class_are_beyond_the_limit() -> None:
    fitted = fit_familiar(*clustered(500, seed=0))
    assert fitted is not None
    away = np.random.default_rng(3).normal(size=(300, 16))
    assert (distances(away, fitted) > fitted.limit).mean() > 0.9
    assert (fitted.level, fitted.width, len(fitted.means)) == (0.99, 16, 5)
    assert Familiar.from_json(fitted.to_json()) == fitted


def test_a_class_without_images_has_no_mean_and_one_image_is_not_its_own_mean() -> None:
    features, labels = clustered(200, seed=0)
    features, labels = features[labels != 2], labels[labels != 2]
    one = np.zeros((1, 16), np.float32)
    one[0, 0] = 9
    fitted = fit_familiar(np.concatenate([features, one]), np.append(labels, 2), level=0.999)
    assert fitted is not None
    assert len(fitted.means) == 5
    assert fitted.limit > 1, "the only image of a class is measured against the other classes"
    without = fit_familiar(features, labels)
    assert without is not None
    assert len(without.means) == 4


def test_features_of_zeros_are_measured_too() -> None:
    fitted = fit_familiar(np.zeros((120, 4)), np.zeros(120, np.int64))
    assert fitted is not None
    assert fitted.limit == pytest.approx(2**0.5, abs=1e-6)


def test_classes_share_means_when_a_card_has_no_room_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty classes in ten families, and room for twenty means."""
    families, generator = np.random.default_rng(8).normal(size=(10, 16)), np.random.default_rng(0)
    centres = np.repeat(families, 6, axis=0) + generator.normal(size=(60, 16)) / 5

    def drawn(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = generator.integers(0, 60, count)
        return centres[labels] + generator.normal(size=(count, 16)) / 5, labels

    whole = fit_familiar(*drawn(2000))
    monkeypatch.setattr("resnetctl.trust.strangers.MOST", 20 * 16)
    fitted = fit_familiar(*drawn(2000))
    assert whole is not None
    assert fitted is not None
    assert (len(whole.means), 10 <= len(fitted.means) <= 20) == (60, True)
    fresh, _ = drawn(4000)
    assert (distances(fresh, fitted) > fitted.limit).mean() < 0.02
    away = np.random.default_rng(3).normal(size=(300, 16))
    assert (distances(away, fitted) > fitted.limit).mean() > 0.9


def test_more_features_than_the_card_holds_are_left_out() -> None:
    assert fit_familiar(np.ones((2, MOST)), np.array([0, 1])) is not None
    assert fit_familiar(np.ones((2, MOST + 1)), np.array([0, 1])) is None


def test_the_score_of_the_card_has_its_shares() -> None:
    val_features, labels = clustered(500, seed=0)
    features, its = clustered(400, seed=1)
    known = Evidence(logits=make_evidence(400).logits, labels=its, features=features.astype(np.float16))
    other = dataclasses.replace(make_evidence(100), features=np.random.default_rng(4).normal(size=(100, 16)))
    found = {
        item.score: item
        for item in strangers(known, {"far": other}, bank=None, familiar=fit_familiar(val_features, labels))
    }
    assert list(found) == ["msp", "energy", "means"]
    assert found["msp"].flagged is None
    assert found["means"].flagged is not None
    assert found["means"].alarms is not None
    assert found["means"].flagged > 0.9 > 0.05 > found["means"].alarms
