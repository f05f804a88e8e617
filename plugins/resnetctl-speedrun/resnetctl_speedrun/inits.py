"""Whitening: a first convolution whose outputs are uncorrelated and equally strong, computed from train images."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPS = 5e-4  # variance that is added to each direction, as in airbench: nearly constant ones would become noise
PATCHES = 32  # in a line of an image, at most: neighbours are alike


def whiten(model: nn.Module, images: Tensor) -> None:
    """Set the filters of `conv1` to the principal directions of its patches, each divided by its standard deviation.

    Half of the filters are the largest directions, the other half their opposites, because an activation keeps one
    side only (Page 2018; Jordan 2024, arXiv:2404.00498, section 3.2). Filters beyond twice the values of a patch keep
    their weights. The convolution does not train: its norm learns a bias and a scale for each filter.

    Raises:
        ValueError: the network has no first convolution called `conv1`, or it has a single filter.
    """
    conv = getattr(model, "conv1", None)
    if not isinstance(conv, nn.Conv2d) or conv.out_channels < 2:
        raise ValueError("it has no first convolution of two or more filters, called conv1")
    size = conv.weight[0].numel()
    side = conv.kernel_size[0]
    # every patch of small images, a grid of them in large ones, as rows of C * kernel * kernel values
    patches = F.unfold(images, side, stride=max(1, images.shape[3] // PATCHES)).transpose(1, 2).reshape(-1, size)
    values, vectors = torch.linalg.eigh(torch.cov(patches.T.double()))
    count = min(conv.out_channels // 2, size)
    filters = (vectors / (values.clamp(min=0) + EPS).sqrt()).flip(1)[:, :count].T.to(conv.weight.dtype)
    conv.weight[: 2 * count] = torch.cat([filters, -filters]).view(2 * count, *conv.weight.shape[1:])
    conv.weight.requires_grad_(False)
