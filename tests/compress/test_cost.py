"""Multiply-adds are counted on the network, narrow layers included."""

import torch
from support.trained import ARCH, IMAGE

from resnetctl import registry
from resnetctl.compress.cost import multiply_adds, params
from resnetctl.models.resnet import build
from resnetctl.spec import ImageSpec


def test_the_published_count_of_resnet20_is_met() -> None:
    image = ImageSpec(size=32)
    model = build(registry.get("arch", "resnet20"), classes=10, image=image)
    assert multiply_adds(model, image) == 40_551_040  # 40.55 M, as He et al.'s net is mostly quoted
    assert params(model) == 269_722


def test_narrower_layers_cost_less_and_hooks_are_removed() -> None:
    whole = build(ARCH, classes=3, image=IMAGE)
    cut = {"layer2.0.conv1": (4, 4, 1), "layer2.0.bn1": (4, 4, 1), "layer2.0.conv2": (4, 8, 1)}
    narrow = build(ARCH, classes=3, image=IMAGE, channels=cut)
    saved = 16 * 4 * (4 * 9) + 16 * 8 * (4 * 9)  # 4x4 pixels: four outputs, then four inputs of each of eight, are gone
    assert multiply_adds(whole, IMAGE) - multiply_adds(narrow, IMAGE) == saved
    assert not any(module._forward_hooks for module in narrow.modules())
    assert torch.isfinite(narrow(torch.zeros(1, 1, 8, 8))).all()
