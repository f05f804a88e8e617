"""`per_image` makes a policy of any torchvision transform."""

import pytest
import torch
from resnetctl_mix.adapter import per_image
from torch import Tensor
from torchvision.transforms import v2

from resnetctl.spec import Batch, ImageSpec

IMAGE = ImageSpec(size=8, resize=12)


def make() -> Batch:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (6, 12, 12, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    return Batch(images=images, targets=torch.arange(6), index=torch.arange(6), epoch=0, step=0)


def test_the_policy_calls_the_transform_on_every_image() -> None:
    transform = v2.Compose([v2.RandomCrop(8), v2.AugMix()])
    batch = make()
    torch.manual_seed(4)
    out = per_image("augmix", transform).build(IMAGE, 10)(batch)
    torch.manual_seed(4)
    assert torch.equal(out.images, torch.stack([transform(image) for image in batch.images]))
    assert out.images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(out.targets, batch.targets)


def test_the_summary_says_that_it_is_slow() -> None:
    policy = per_image("erase", v2.RandomErasing(), mirrors=True)
    assert policy.summary == "torchvision's RandomErasing (slow: image by image)"
    assert policy.mirrors
    assert policy.unmirrored is None
    assert per_image("erase", v2.RandomErasing(), summary="hide").summary == "hide (slow: image by image)"


def test_a_transform_that_overwrites_its_image_does_not_change_the_batch() -> None:
    def blacken(image: Tensor) -> Tensor:
        return image.zero_()[:, :8, :8]

    batch = make()
    before = batch.images.clone()
    assert per_image("black", blacken).build(IMAGE, 10)(batch).images.max() == 0
    assert torch.equal(batch.images, before)


def test_float_results_become_float32() -> None:
    out = per_image("half", lambda image: image[:, :8, :8].double() / 2).build(IMAGE, 10)(make())
    assert out.images.dtype == torch.float32


@pytest.mark.parametrize("transform", [v2.Identity(), lambda image: image[:, :8, :8].int()])
def test_a_result_of_wrong_shape_or_type_is_a_value_error(transform: object) -> None:
    with pytest.raises(ValueError, match=r"policy 'bad': the transform gave torch\..* \(3, .*end it with a crop"):
        per_image("bad", transform).build(IMAGE, 10)(make())  # type: ignore[arg-type]
