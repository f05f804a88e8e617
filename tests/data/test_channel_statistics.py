import numpy as np
import pytest

from resnetctl.data.channel_statistics import add_levels, mean_std


def histograms(images: np.ndarray) -> np.ndarray:
    counts = np.zeros((images.shape[-1], 256), np.int64)
    add_levels(counts, images[:1])
    add_levels(counts, images[1:])
    return counts


def test_mean_and_std_equal_numpys() -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 7, 9, 3), dtype=np.uint8)
    mean, std = mean_std(histograms(images))
    assert mean == pytest.approx((images / 255).mean((0, 1, 2)), abs=1e-6)
    assert std == pytest.approx((images / 255).std((0, 1, 2)), abs=1e-6)


def test_a_constant_channel_has_the_std_of_one_level() -> None:
    mean, std = mean_std(histograms(np.full((4, 2, 2, 1), 51, np.uint8)))
    assert (mean, std) == ((0.2,), (round(1 / 255, 6),))
