"""The loss is binary cross-entropy, each class has its own probability, and bad values are refused."""

import pytest
import torch
from resnetctl_multilabel.heads import multilabel
from resnetctl_multilabel.nets import MultilabelNet
from torch.nn import functional as F

import resnetctl as rc
from resnetctl.spec import ImageSpec, Tags

IMAGE = ImageSpec(size=32)


def net(arch: str = "resnet20", **options: float) -> MultilabelNet:
    torch.manual_seed(0)
    return multilabel.build(rc.backbone(arch), classes=3, image=IMAGE, **options)


def test_the_loss_is_binary_cross_entropy_of_the_tags() -> None:
    built, images = net().eval(), torch.randn(2, 3, 32, 32)
    tags = torch.tensor([[1, 0, 1], [0, 0, 0]], dtype=torch.uint8)
    shares = built.decode(built(images))[0]
    (loss,) = built.loss(images, Tags(tags=tags)).values()
    assert loss.item() == pytest.approx(F.binary_cross_entropy(shares, tags.float()).item(), rel=1e-5)
    smoothed = net(smoothing=0.2).eval().loss(images, Tags(tags=tags))["binary_cross_entropy"]
    expected = F.binary_cross_entropy(shares, tags.float() * 0.8 + 0.1)
    assert smoothed.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("arch", ["resnet20", "resnet18", "preact_resnet20", "resnet50"])
def test_it_stands_on_any_arch_and_gives_a_probability_for_each_class(arch: str) -> None:
    built = net(arch).eval()
    with torch.no_grad():
        (shares,) = built.decode(built(torch.randn(2, 3, 40, 40)))
    assert shares.shape == (2, 3)
    assert ((shares > 0) & (shares < 1)).all()


def test_dropout_works_in_training_only() -> None:
    built, images = net(dropout=0.5), torch.randn(2, 3, 32, 32)
    built.train()
    assert not torch.equal(built(images), built(images))
    built.eval()
    assert torch.equal(built(images), built(images))


@pytest.mark.parametrize("options", [{"dropout": 1.0}, {"dropout": -0.1}, {"smoothing": 1.0}, {"smoothing": -1.0}])
def test_values_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="out of its range"):
        net(**options)
