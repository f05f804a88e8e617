"""Tiny archs with any block, for the tests of backbones and dilation."""

import torch

from resnetctl.models.resnet import ResNet, build
from resnetctl.spec import Arch, ImageSpec


def arch(block: str = "basic", *, stem: str = "imagenet", depths: tuple[int, ...] = (1, 1, 2, 2)) -> Arch:
    """Return an arch with narrow stages; the last two have two blocks each."""
    return Arch(name="tiny", block=block, depths=depths, widths=(4, 6, 8, 10)[: len(depths)], stem=stem)


def net(block: str = "basic", **options: object) -> ResNet:
    """Return a net in eval mode whose norms all have an effect."""
    torch.manual_seed(0)
    model = build(arch(block, **options), classes=3, image=ImageSpec(size=64))  # type: ignore[arg-type]
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.uniform_(-0.5, 0.5)
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()
