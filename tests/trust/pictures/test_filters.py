"""Blurs and warps are compared with scipy, and with cases that are known without computing."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from resnetctl.trust.pictures import filters
from resnetctl.trust.pictures.filters import Floats

IMAGE = np.random.default_rng(0).random((16, 16, 3))


@pytest.mark.parametrize("sigma", [0.05, 0.4, 1.0, 3.0])
def test_the_gaussian_is_that_of_scipy(sigma: float) -> None:
    wanted = ndimage.gaussian_filter(IMAGE, (sigma, sigma, 0), mode="reflect", truncate=4.0)
    assert filters.gaussian(IMAGE, sigma) == pytest.approx(wanted, abs=1e-12)


def test_a_filter_with_a_kernel_is_that_of_scipy() -> None:
    kernel = np.random.default_rng(1).random((5, 5))
    wanted = np.stack([ndimage.correlate(IMAGE[..., c], kernel, mode="reflect") for c in range(3)], axis=-1)
    assert filters.convolve(IMAGE, kernel) == pytest.approx(wanted, abs=1e-12)


def test_sampling_is_that_of_scipy() -> None:
    y, x = np.random.default_rng(2).uniform(-5, 20, (2, 16, 16))
    wanted = [ndimage.map_coordinates(IMAGE[..., c], [y, x], order=1, mode="reflect") for c in range(3)]
    assert filters.sampled(IMAGE, y=y, x=x) == pytest.approx(np.stack(wanted, axis=-1), abs=1e-12)


@pytest.mark.parametrize(("radius", "blur"), [(0.3, 0.4), (1, 0.2), (1.5, 0.1), (6, 0.5)])
def test_a_disk_is_round_and_keeps_the_brightness(radius: float, blur: float) -> None:
    kernel = filters.disk(radius, blur=blur)
    assert kernel.sum() == pytest.approx(1)
    assert np.array_equal(kernel, kernel[::-1]) or kernel == pytest.approx(kernel[::-1], abs=1e-15)
    assert kernel == pytest.approx(kernel.T, abs=1e-15)


def test_motion_moves_along_its_angle_only() -> None:
    image = np.zeros((9, 9, 1))
    image[4, 6] = 1
    flat = filters.motion(image, radius=6, sigma=2, angle=0.0)[..., 0]
    assert set(np.flatnonzero(flat.any(axis=1))) == {4}
    assert flat[4, 6] > flat[4, 5] > flat[4, 4] > 0
    steep = filters.motion(image, radius=6, sigma=2, angle=45.0)[..., 0]
    assert steep[3, 5] > 0
    assert steep[4, 5] == 0


def test_a_zoom_keeps_the_centre_and_factor_1_keeps_all() -> None:
    assert filters.zoomed(IMAGE, 1.0) == pytest.approx(IMAGE)
    line = np.broadcast_to(np.arange(9.0)[None, :, None], (9, 9, 1))
    zoomed = filters.zoomed(line, 2.0)
    assert zoomed[0, :, 0] == pytest.approx(4 + (np.arange(9) - 4) / 2)


@pytest.mark.parametrize("size", [1, 8, 28, 32, 33])
def test_plasma_fills_the_range(size: int) -> None:
    clouds = filters.plasma(size, decay=2.0, generator=np.random.default_rng(0))
    assert clouds.shape == (size, size)
    assert 0 <= clouds.min() <= clouds.max() <= 1
    rough = filters.plasma(32, decay=1.1, generator=np.random.default_rng(0))
    smooth = filters.plasma(32, decay=3.0, generator=np.random.default_rng(0))
    assert np.abs(np.diff(rough)).mean() > 2 * np.abs(np.diff(smooth)).mean()


@given(st.integers(1, 12), st.integers(0, 30))
def test_mirrored_places_are_those_of_a_symmetric_pad(size: int, reach: int) -> None:
    wanted = np.pad(np.arange(size), reach, mode="symmetric")
    assert filters.mirrored(np.arange(-reach, size + reach), size).tolist() == wanted.tolist()


@pytest.mark.parametrize(
    "blur",
    [
        lambda image: filters.gaussian(image, 2.0),
        lambda image: filters.convolve(image, filters.disk(1.5, blur=0.1)),
        lambda image: filters.motion(image, radius=9, sigma=2.5, angle=-31.0),
        lambda image: filters.zoomed(image, 1.26),
        lambda image: filters.sampled(image, y=np.full((7, 7), -3.3), x=np.full((7, 7), 12.7)),
    ],
    ids=["gaussian", "disk", "motion", "zoom", "sampled"],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_flat_image_stays_flat(blur: Callable[[Floats], Floats], channels: int) -> None:
    flat = np.full((7, 7, channels), 0.4)
    assert blur(flat) == pytest.approx(flat, abs=1e-12)


@pytest.mark.parametrize("sigma", [0.0, 0.12])
def test_a_gaussian_below_a_pixel_changes_nothing(sigma: float) -> None:
    assert filters.gaussian(IMAGE, sigma) is IMAGE


def test_a_shorter_gaussian_is_cut_where_scipy_cuts_it() -> None:
    wanted = ndimage.gaussian_filter(IMAGE[..., 0], 1.3, mode="reflect", truncate=3.0)
    assert filters.gaussian(IMAGE[..., 0], 1.3, truncate=3.0) == pytest.approx(wanted, abs=1e-12)
    assert filters.gaussian(IMAGE[..., 0], 1.3) != pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("factor", [1.01, 1.26, 3.0])
def test_a_zoom_is_that_of_scipy(factor: float) -> None:
    places = 7.5 + (np.arange(16) - 7.5) / factor
    wanted = [
        ndimage.map_coordinates(IMAGE[..., c], np.meshgrid(places, places, indexing="ij"), order=1) for c in range(3)
    ]
    assert filters.zoomed(IMAGE, factor) == pytest.approx(np.stack(wanted, axis=-1), abs=1e-12)


def test_motion_keeps_the_sum_of_its_weights_and_repeats_the_border() -> None:
    ramp = np.broadcast_to(np.arange(12.0)[None, :, None], (12, 12, 1))
    blurred = filters.motion(ramp, radius=6, sigma=2, angle=0.0)[0, :, 0]
    assert blurred[-1] == pytest.approx(11)
    assert np.allclose(np.diff(blurred[:4]), 1)
    assert filters.motion(ramp, radius=6, sigma=2, angle=90.0) == pytest.approx(ramp)


def test_plasma_repeats_for_a_generator_and_grows_in_powers_of_two() -> None:
    first, second = (filters.plasma(16, decay=2.0, generator=np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(first, second)
    assert (first.min(), first.max()) == (0, 1)
    part = filters.plasma(13, decay=2.0, generator=np.random.default_rng(4))
    assert np.array_equal(part, first[:13, :13])
