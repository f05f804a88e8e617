"""Fitted anchors cover the boxes, do not forget rare classes, and are a function of the boxes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from resnetctl_detect import anchors
from resnetctl_detect.anchors import SizedAnchors, coverage, even_levels, fit
from resnetctl_detect.heads import ssd
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

from resnetctl.spec import ImageSpec


def boxes(count: int, *, seed: int = 0, low: float = 8, high: float = 150) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    corners = generator.uniform(0, 100, (count, 2))
    sizes = np.exp(generator.uniform(np.log(low), np.log(high), (count, 2)))
    return np.concatenate([corners, corners + sizes], 1).astype(np.float32), generator.integers(0, 3, count)


def test_fitted_anchors_cover_the_boxes() -> None:
    corners, labels = boxes(500, low=10, high=80)
    sizes = corners[:, 2:] - corners[:, :2]
    fitted = fit(corners, labels)
    assert coverage(sizes, fitted) >= 0.99
    assert coverage(sizes, [[32, 32]]) < 0.7
    areas = [width * height for width, height in fitted]
    assert areas == sorted(areas)


def test_a_rare_class_gets_its_own_anchors() -> None:
    generator = np.random.default_rng(0)
    common, rare = generator.normal(100, 10, (990, 2)), generator.normal(12, 1, (10, 2))
    sizes = np.concatenate([common, rare])
    corners = np.concatenate([np.zeros((1000, 2)), sizes], 1)
    labels = np.array([0] * 990 + [1] * 10)
    assert coverage(rare, fit(corners, labels)) == 1.0


def test_the_same_boxes_give_the_same_anchors_in_any_type() -> None:
    corners, labels = boxes(60)
    assert fit(corners, labels) == fit(torch.from_numpy(corners), torch.from_numpy(labels))


@given(count=st.integers(1, 40), seed=st.integers(0, 1000), equal=st.booleans())
@settings(max_examples=40, deadline=None)
def test_any_boxes_give_anchors(count: int, seed: int, equal: bool) -> None:
    corners, labels = boxes(count, seed=seed)
    if equal:
        corners[:] = corners[0]
    fitted = fit(corners, labels)
    assert len(fitted) in anchors.COUNTS
    assert all(len(anchor) == 2 and min(anchor) > 0 and np.isfinite(anchor).all() for anchor in fitted)


def test_no_boxes_give_no_anchors() -> None:
    with pytest.raises(ValueError, match="without a box"):
        fit(np.zeros((0, 4)), np.zeros(0, np.int64))


def test_the_head_returns_an_argument_of_its_build() -> None:
    corners, labels = boxes(30)
    assert ssd.fit_anchors(corners, labels, ImageSpec(size=128)) == {"anchors": fit(corners, labels)}
    assert ssd.fit_anchors(corners[:0], labels[:0], ImageSpec(size=128)) == {}


def test_levels_get_the_same_number_the_smallest_first() -> None:
    assert even_levels([[4, 4], [1, 1], [3, 3], [2, 2]], 2) == [[[1, 1], [2, 2]], [[3, 3], [4, 4]]]
    for levels in (1, 2, 3, 4):
        assert all(count % levels == 0 for count in (len(anchors.default(100)), *anchors.COUNTS))


@pytest.mark.parametrize(("wrong", "levels"), [([[1, 1]], 2), ([[1, 0]], 1), ([[1]], 1), ([], 1)])
def test_anchors_that_cannot_be_divided_are_refused(wrong: list[list[float]], levels: int) -> None:
    with pytest.raises(ValueError, match="anchors"):
        even_levels(wrong, levels)


def test_sized_anchors_are_torchvisions_on_the_same_sizes() -> None:
    theirs = AnchorGenerator(((32,), (64,)), ((0.5, 2.0),) * 2)
    sizes = [[[float(x2 - x1), float(y2 - y1)] for x1, y1, x2, y2 in level] for level in theirs.cell_anchors]
    ours = SizedAnchors(sizes)
    assert ours.num_anchors_per_location() == theirs.num_anchors_per_location()
    images = ImageList(torch.zeros(1, 3, 96, 96), [(96, 96)])
    features = [torch.zeros(1, 4, 12, 12), torch.zeros(1, 4, 6, 6)]
    assert torch.equal(ours(images, features)[0], theirs(images, features)[0])
    assert torch.equal(ours.on_grids([12, 6], 96), theirs(images, features)[0])
