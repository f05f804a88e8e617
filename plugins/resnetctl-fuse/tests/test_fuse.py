"""Both parts count, both ways join them, and bad values are refused."""

from typing import Any

import pytest
import torch
from resnetctl_fuse.heads import fuse
from resnetctl_fuse.nets import FusedNet
from torch.nn import functional as F

import resnetctl as rc
from resnetctl.spec import ImageSpec, Labels, VectorSpec

VECTOR = VectorSpec(columns=("a", "b"), mean=(0.0, 0.0), std=(1.0, 1.0))
IMAGES = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
NUMBERS = torch.randn(3, 2, generator=torch.Generator().manual_seed(2))


def net(arch: str = "resnet20", **options: Any) -> FusedNet:
    torch.manual_seed(0)
    return fuse.build(rc.backbone(arch), classes=4, image=ImageSpec(size=16), vector=VECTOR, **options)


@pytest.mark.parametrize("how", ["concat", "gate"])
@pytest.mark.parametrize("arch", ["resnet20", "preact_resnet20", "resnet10"])
def test_the_answer_depends_on_both_parts(how: str, arch: str) -> None:
    built = net(arch, how=how).eval()
    with torch.no_grad():
        logits, shares = built.decode(built(IMAGES, NUMBERS))
        other_numbers, other_images = built(IMAGES, NUMBERS + 1), built(IMAGES.flip(0), NUMBERS)
    assert logits.shape == shares.shape == (3, 4)
    torch.testing.assert_close(shares, logits.softmax(1))
    assert not torch.allclose(other_numbers, logits)
    assert not torch.allclose(other_images, logits)


def test_an_open_gate_hears_the_image_alone_and_a_shut_one_the_numbers() -> None:
    built = net(how="gate").eval()
    gate: Any = built.join
    for bias, same_for in ((50.0, "numbers"), (-50.0, "images")):
        with torch.no_grad():
            gate.gate.weight.zero_()
            gate.gate.bias.fill_(bias)
            base = built(IMAGES, NUMBERS)
            changed = built(IMAGES, NUMBERS + 1) if same_for == "numbers" else built(IMAGES.flip(0), NUMBERS)
        torch.testing.assert_close(changed, base)


def test_the_loss_is_the_cross_entropy_also_of_mixed_labels() -> None:
    labels = torch.tensor([0, 3, 1])
    for options, smoothing in (({}, 0.0), ({"smoothing": 0.2}, 0.2)):
        built = net(**options).eval()
        for truth in (labels, F.one_hot(labels, 4).float()):
            (loss,) = built.loss(IMAGES, Labels(labels=truth), NUMBERS).values()
            expected = F.cross_entropy(built(IMAGES, NUMBERS), labels, label_smoothing=smoothing)
            torch.testing.assert_close(loss, expected)


def test_dropout_works_in_training_only() -> None:
    built = net(dropout=0.5).train()
    assert not torch.equal(built(IMAGES, NUMBERS), built(IMAGES, NUMBERS))
    built.eval()
    assert torch.equal(built(IMAGES, NUMBERS), built(IMAGES, NUMBERS))


@pytest.mark.parametrize(
    "options", [{"how": "add"}, {"width": 0}, {"dropout": 1.0}, {"smoothing": -0.1}, {"smoothing": 1.0}]
)
def test_values_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"not concat or gate|out of its range"):
        net(**options)
