"""The parts of a batch add up to the whole."""

from dataclasses import replace

import pytest
import torch

from resnetctl.engine.shares import correct, parts, weight
from resnetctl.spec import Batch


def batch(images: int, *, classes: int = 3) -> Batch:
    return Batch(
        images=torch.arange(images * 48).reshape(images, 3, 4, 4).to(torch.uint8),
        targets=torch.arange(images) % classes,
        index=torch.arange(images),
        epoch=0,
        step=0,
    )


@pytest.mark.parametrize(
    ("images", "sizes"), [(7, [3, 2, 2]), (6, [2, 2, 2]), (5, [3, 2]), (4, [2, 2]), (3, [3]), (1, [1])]
)
def test_parts_have_at_least_two_images_for_batch_norm(images: int, sizes: list[int]) -> None:
    split = parts(batch(images), 3, class_weights=None)
    assert [len(part.images) for part, _ in split] == sizes
    assert sum(share for _, share in split) == pytest.approx(1)
    assert torch.cat([part.index for part, _ in split]).tolist() == list(range(images)), "every image is in one part"
    for part, _ in split:
        assert torch.equal(part.images, batch(images).images[part.index])


def test_class_weights_decide_the_share_of_a_part() -> None:
    weights = torch.tensor([1.0, 3.0, 0.5])
    whole = batch(6)
    shares = [float(share) for _, share in parts(whole, 2, class_weights=weights)]
    assert shares == [pytest.approx(0.5), pytest.approx(0.5)]
    one_class = batch(6, classes=1)
    one_class.targets[3:] = 1
    assert [float(share) for _, share in parts(one_class, 2, class_weights=weights)] == [0.25, 0.75]


def test_the_weight_of_targets_is_their_number_or_the_sum_of_their_class_weights() -> None:
    targets, weights = torch.tensor([0, 1, 1]), torch.tensor([1.0, 3.0])
    assert weight(targets, None) == 3
    assert float(weight(targets, weights)) == 7
    assert weight(torch.eye(2), weights) == 2, "mixed targets have no single class"


def test_mixed_targets_count_as_their_largest_class_and_a_head_without_logits_as_none() -> None:
    logits = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0]])
    assert int(correct(logits, torch.tensor([0, 1, 1]))) == 2
    assert int(correct(logits, torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.5, 0.5]]))) == 2
    none = correct(torch.empty(3, 0), torch.tensor([0, 1, 1]))
    assert (int(none), none.dtype) == (0, torch.int64)


def test_parts_have_the_numbers_of_their_images() -> None:
    whole = replace(batch(7), vectors=torch.arange(14.0).view(7, 2))
    for part, _ in parts(whole, 3, class_weights=None):
        assert part.vectors is not None
        assert torch.equal(part.vectors[:, 0], 2.0 * part.index)
