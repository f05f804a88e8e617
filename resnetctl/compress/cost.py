"""What a network costs: its parameters and its multiply-adds, counted on the network itself."""

import math

import torch
from torch import Tensor, nn

from resnetctl.models.resnet import ResNet
from resnetctl.spec import ImageSpec


def params(model: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def multiply_adds(model: ResNet, image: ImageSpec) -> int:
    """Return the multiply-adds of convolutions and linear layers for one image, from one pass in evaluation mode."""
    total = 0

    def count(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        assert isinstance(module, nn.Conv2d | nn.Conv1d | nn.Linear)
        total += output.numel() * math.prod(module.weight.shape[1:])  # each output sums over one row of weights

    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Conv1d | nn.Linear)]
    handles = [layer.register_forward_hook(count) for layer in layers]
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, image.channels, image.size, image.size))
    finally:
        for handle in handles:
            handle.remove()
    return total
