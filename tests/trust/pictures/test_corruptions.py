"""Corruptions are the same at any batch size, grow with the severity, and keep what they should keep."""

import colorsys
import io

import numpy as np
import pytest
from PIL import Image

from resnetctl.trust.pictures.corruptions import FIVE, KINDS, PARAMETERS, SEVERITIES, corrupt, suits

GENERATOR = np.random.default_rng(0)
BLOCKS = np.kron(GENERATOR.integers(20, 236, (6, 4, 4, 3)), np.ones((1, 8, 8, 1), np.int64))  # flat areas and edges
PHOTOS = np.clip(BLOCKS + GENERATOR.normal(0, 6, BLOCKS.shape), 0, 255).astype(np.uint8)
ROWS = np.array([3, 8, 20, 21, 500, 9999])


def test_there_are_fifteen_kinds_and_five_stand_for_them() -> None:
    assert len(KINDS) == 15
    assert set(FIVE) < set(KINDS)
    assert all(len(numbers) == len(SEVERITIES) for numbers in PARAMETERS.values())


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_depends_on_its_row_and_not_on_its_batch(kind: str) -> None:
    whole = corrupt(PHOTOS, kind, severity=3, rows=ROWS)
    assert (whole.dtype, whole.shape) == (np.uint8, PHOTOS.shape)
    parts = [corrupt(PHOTOS[i : i + 2], kind, severity=3, rows=ROWS[i : i + 2]) for i in range(0, 6, 2)]
    assert np.array_equal(np.concatenate(parts), whole)
    assert np.array_equal(corrupt(PHOTOS[::-1], kind, severity=3, rows=ROWS[::-1])[::-1], whole)


@pytest.mark.parametrize("kind", KINDS)
def test_severity_0_is_the_identity_and_others_are_not(kind: str) -> None:
    assert np.array_equal(corrupt(PHOTOS, kind, severity=0, rows=ROWS), PHOTOS)
    changed = [
        np.abs(corrupt(PHOTOS, kind, severity=step, rows=ROWS).astype(int) - PHOTOS).mean() for step in SEVERITIES
    ]
    assert min(changed) > 0.1
    if kind.endswith("noise") or kind in ("zoom_blur", "brightness", "contrast"):
        assert changed == sorted(changed)  # the others draw an angle, or their parameters do not only grow


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [2, 5, 33])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_and_grey_images_are_corrupted(kind: str, size: int, channels: int) -> None:
    images = np.random.default_rng(1).integers(0, 256, (2, size, size, channels), dtype=np.uint8)
    for severity in SEVERITIES:
        made = corrupt(images, kind, severity=severity, rows=ROWS[:2])
        assert (made.dtype, made.shape) == (np.uint8, images.shape)
    assert suits(kind, channels=channels) is (kind != "saturate" or channels == 3)


def test_noise_has_the_stated_strength() -> None:
    grey = np.full((1, 200, 200, 1), 128, np.uint8)
    made = {kind: corrupt(grey, kind, severity=5, rows=ROWS[:1]) / 255 for kind in ("gaussian_noise", "shot_noise")}
    assert made["gaussian_noise"].std() == pytest.approx(0.1, rel=0.03)
    assert made["shot_noise"].std() == pytest.approx((128 / 255 / 50) ** 0.5, rel=0.03)
    speckle = corrupt(grey, "speckle_noise", severity=3, rows=ROWS[:1]) / 255
    assert speckle.std() == pytest.approx(0.12 * 128 / 255, rel=0.03)
    impulse = corrupt(grey, "impulse_noise", severity=5, rows=ROWS[:1])
    assert np.isin(impulse, (0, 255)).mean() == pytest.approx(0.07, abs=0.01)


def test_contrast_keeps_the_mean_and_shrinks_the_spread() -> None:
    made = corrupt(PHOTOS, "contrast", severity=1, rows=ROWS)
    assert made.mean(axis=(1, 2)) == pytest.approx(PHOTOS.mean(axis=(1, 2)), abs=0.5)
    assert made.std(axis=(1, 2)) == pytest.approx(0.75 * PHOTOS.std(axis=(1, 2)), rel=0.02)


@pytest.mark.parametrize(("kind", "severity"), [("brightness", 2), ("saturate", 1), ("saturate", 5)])
def test_brightness_and_saturation_are_those_of_hsv(kind: str, severity: int) -> None:
    made = corrupt(PHOTOS[:1], kind, severity=severity, rows=ROWS[:1])[0]
    numbers = PARAMETERS[kind][severity - 1]
    for y, x in ((0, 0), (9, 20), (31, 31)):
        hue, saturation, value = colorsys.rgb_to_hsv(*(PHOTOS[0, y, x] / 255))
        if kind == "brightness":
            value = min(1, value + numbers[0])
        else:
            saturation = min(1, max(0, saturation * numbers[0] + numbers[1]))
        assert made[y, x] / 255 == pytest.approx(colorsys.hsv_to_rgb(hue, saturation, value), abs=1 / 255)


def test_black_and_grey_pixels_divide_by_nothing() -> None:
    black = np.zeros((1, 8, 8, 3), np.uint8)
    assert corrupt(black, "brightness", severity=5, rows=ROWS[:1]).max() == round(0.3 * 255)
    for kind in KINDS:
        corrupt(black, kind, severity=5, rows=ROWS[:1])


def test_jpeg_is_that_of_pillow() -> None:
    file = io.BytesIO()
    Image.fromarray(PHOTOS[0]).save(file, "JPEG", quality=40)
    wanted = np.asarray(Image.open(file))
    assert np.array_equal(corrupt(PHOTOS[:1], "jpeg_compression", severity=5, rows=ROWS[:1])[0], wanted)


def test_lengths_grow_with_images_of_more_than_32_pixels() -> None:
    large = np.kron(PHOTOS[:1], np.ones((1, 4, 4, 1), np.uint8))
    small, wide = (corrupt(images, "defocus_blur", severity=5, rows=ROWS[:1]) for images in (PHOTOS[:1], large))
    shrunk = wide.reshape(1, 32, 4, 32, 4, 3).mean(axis=(2, 4))
    assert np.abs(shrunk - small).mean() < 0.35 * np.abs(small.astype(int) - PHOTOS[:1]).mean()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.endswith("noise") or kind in ("fog", "glass_blur")])
def test_row_kind_severity_and_seed_each_choose_what_is_drawn(kind: str) -> None:
    same = np.repeat(PHOTOS[:1], 2, axis=0)
    first, second = corrupt(same, kind, severity=3, rows=ROWS[:2])
    assert not np.array_equal(first, second)
    assert not np.array_equal(corrupt(same[:1], kind, severity=3, rows=ROWS[:1], seed=1)[0], first)
    assert np.array_equal(corrupt(same[:1], kind, severity=3, rows=ROWS[:1])[0], first)


@pytest.mark.parametrize("kind", ["defocus_blur", "brightness", "contrast", "saturate", "jpeg_compression", "pixelate"])
def test_kinds_without_chance_do_not_depend_on_the_row(kind: str) -> None:
    one, other = corrupt(np.repeat(PHOTOS[:1], 2, axis=0), kind, severity=4, rows=ROWS[:2])
    assert np.array_equal(one, other)


def test_images_and_rows_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="zip"):
        corrupt(PHOTOS, "fog", severity=1, rows=ROWS[:2])


@pytest.mark.parametrize("kind", KINDS)
def test_the_images_that_are_corrupted_are_not_written_to(kind: str) -> None:
    images = PHOTOS[:1].copy()
    images.setflags(write=False)
    corrupt(images, kind, severity=5, rows=ROWS[:1])
    assert np.array_equal(images, PHOTOS[:1])


def test_impulses_leave_other_values_as_they_are() -> None:
    made = corrupt(PHOTOS, "impulse_noise", severity=5, rows=ROWS)
    is_hit = np.isin(made, (0, 255))
    assert np.array_equal(made[~is_hit], PHOTOS[~is_hit])
    assert (made[is_hit] == 0).mean() == pytest.approx(0.5, abs=0.05)


def test_a_glass_blur_keeps_pixels_near_their_place() -> None:
    """Half an image is black: no white pixel may go further than the reach of the rounds and the blur."""
    image = np.zeros((1, 32, 32, 1), np.uint8)
    image[:, :, 16:] = 255
    made = corrupt(image, "glass_blur", severity=5, rows=ROWS[:1])[0, ..., 0]
    assert made[:, :10].max() == 0
    assert made[:, 22:].min() == 255
    assert not np.array_equal(made, image[0, ..., 0])


def test_a_pixelated_image_has_blocks() -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 40, 40, 3), dtype=np.uint8)
    made = corrupt(image, "pixelate", severity=5, rows=ROWS[:1])[0]
    small = np.asarray(
        Image.fromarray(image[0]).resize((26, 26), Image.Resampling.BOX).resize((40, 40), Image.Resampling.BOX)
    )
    assert np.array_equal(made, small)


def test_grey_images_have_no_saturation_to_change() -> None:
    grey = PHOTOS[..., :1]
    assert np.array_equal(corrupt(grey, "saturate", severity=5, rows=ROWS), grey)


def test_an_elastic_transform_without_shift_is_affine() -> None:
    """Severity 1 moves corners only: a ramp stays a ramp in the middle of the image."""
    ramp = np.broadcast_to((np.arange(64) * 3)[None, None, :, None], (1, 64, 64, 1)).astype(np.uint8)
    made = corrupt(ramp, "elastic_transform", severity=1, rows=ROWS[:1])[0, 24:40, 24:40, 0].astype(float)
    y, x = np.mgrid[:16, :16]
    design = np.column_stack([y.ravel(), x.ravel(), np.ones(256)])
    fitted = design @ np.linalg.lstsq(design, made.ravel(), rcond=None)[0]
    assert np.abs(made.ravel() - fitted).max() < 1.01


def test_fog_hides_and_contrast_of_a_flat_image_does_nothing() -> None:
    fogged = corrupt(PHOTOS, "fog", severity=5, rows=ROWS)
    assert fogged.std() < 0.8 * PHOTOS.std()
    assert all(made.max() <= image.max() for made, image in zip(fogged, PHOTOS, strict=True))
    flat = np.full((1, 9, 9, 3), 77, np.uint8)
    assert np.array_equal(corrupt(flat, "contrast", severity=5, rows=ROWS[:1]), flat)
