"""Maps of what a network looked at: for any block, because a map needs the output of a stage and nothing inside it.

Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391), HiResCAM (Draelos et al. 2020, arXiv:2011.08891) and LayerCAM
(Jiang et al. 2021, IEEE TIP 30, p. 5875). Functions import torch when they are called.

Shapes: N images, S pixels a side, C channels, K classes, H x W pixels of a stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from resnetctl.spec import Card, ImageSpec

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from resnetctl.models.resnet import ResNet

Method = Literal["gradcam", "hirescam", "layercam"]
METHODS: tuple[Method, ...] = get_args(Method)
STEPS = 16  # parts of an image that are shown or hidden one after the other
Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class MapScore(Card):
    """How much a map says about the network.

    Attributes:
        insertion: mean probability of the class while the image appears, the highest pixels first; high is good.
        deletion: the same while the image disappears; low is good (Petsiuk et al. 2018, arXiv:1806.07421).
        random_head: rank correlation with the map of the same network with a random last layer; a map that shows what
            the network learned is far from 1 (Adebayo et al. 2018, arXiv:1810.03292).
    """

    insertion: float
    deletion: float
    random_head: float


def class_maps(
    net: ResNet, pixels: Tensor, *, labels: Tensor, method: Method = "gradcam", stage: str = ""
) -> tuple[Floats, Floats]:
    """Return maps (N, H, W), which may be negative for HiResCAM, and logits (N, K).

    Args:
        net: in eval mode, not folded.
        pixels: normalised images (N, C, S, S).
        labels: (N,) the class of each map.
        stage: `layer1` ..; by default the last one.
    """
    import torch

    stage = stage or net.stages[-1]
    with torch.no_grad():
        features = net.features(pixels)[stage]
    features = features.detach().requires_grad_()
    with torch.enable_grad():
        logits = net.from_stage(stage, features)
        chosen = logits.gather(1, labels[:, None]).sum()
        (gradient,) = torch.autograd.grad(chosen, features)
    features = features.detach()
    if method == "gradcam":
        maps = (gradient.mean((2, 3), keepdim=True) * features).sum(1).relu()
    elif method == "hirescam":
        maps = (gradient * features).sum(1)
    else:
        maps = (gradient.relu() * features).sum(1).relu()
    return maps.float().cpu().numpy(), logits.detach().float().cpu().numpy()


def enlarged(maps: Floats, size: int) -> Floats:
    """Return maps (N, S, S) in 0..1 for images of `size` pixels; a map without positive values is 0."""
    import torch

    wide = torch.from_numpy(maps)[:, None].relu()
    wide = torch.nn.functional.interpolate(wide, size=(size, size), mode="bilinear", align_corners=False)[:, 0]
    most = wide.amax((1, 2), keepdim=True)
    result: Floats = (wide / most.clamp_min(torch.finfo(wide.dtype).tiny)).numpy()
    return result


def scores(
    net: ResNet, pixels: Tensor, *, labels: Tensor, maps: Floats, method: Method = "gradcam", stage: str = ""
) -> list[MapScore]:
    """Return how much each map (N, H, W) says about the network; arguments as `class_maps`."""
    order = (-enlarged(maps, pixels.shape[-1]).reshape(len(maps), -1)).argsort(axis=1, kind="stable")
    inserted, deleted = (
        _curve(net, pixels, labels=labels, order=order, is_insertion=is_insertion) for is_insertion in (True, False)
    )
    random, _ = class_maps(_with_random_head(net), pixels, labels=labels, method=method, stage=stage)
    return [
        MapScore(insertion=float(up), deletion=float(down), random_head=rank_correlation(own, other))
        for up, down, own, other in zip(inserted, deleted, maps, random, strict=True)
    ]


def _curve(
    net: ResNet, pixels: Tensor, *, labels: Tensor, order: NDArray[np.int64], is_insertion: bool
) -> NDArray[np.float64]:
    """Return the mean probability of the class while pixels appear on a blurred image, or disappear into it."""
    import torch

    count, size = len(pixels), pixels.shape[-1]
    blurred = _blurred(pixels)
    start, end = (blurred, pixels) if is_insertion else (pixels, blurred)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(size * size)[None], axis=1)
    rank = torch.from_numpy(ranks).to(pixels.device).view(count, 1, size, size)
    total = np.zeros(count)
    with torch.inference_mode():
        for step in range(STEPS + 1):
            mixed = torch.where(rank < step * size * size / STEPS, end, start)
            shares = net(mixed).double().softmax(1)
            total += shares.gather(1, labels[:, None])[:, 0].cpu().numpy()
    return total / (STEPS + 1)


def _blurred(pixels: Tensor) -> Tensor:
    """Return the images averaged over a quarter of their side: their colours without their shapes."""
    import torch

    reach = max(1, pixels.shape[-1] // 8)
    padded = torch.nn.functional.pad(pixels, (reach,) * 4, mode="replicate")
    return torch.nn.functional.avg_pool2d(padded, 2 * reach + 1, stride=1)


def _with_random_head(net: ResNet) -> ResNet:
    import copy

    import torch

    other = copy.deepcopy(net)
    generator = torch.Generator().manual_seed(0)
    weight = other.fc.weight
    with torch.no_grad():
        weight.copy_(torch.randn(weight.shape, generator=generator).to(weight) * weight.std())
    return other


def rank_correlation(one: Floats, other: Floats) -> float:
    """Return Spearman's rank correlation of two maps, 0 if one is constant. Equal values share their mean rank."""
    first, second = (_ranks(item.ravel()) for item in (one, other))
    spread = float(first.std() * second.std())
    return 0.0 if not spread else float(((first - first.mean()) * (second - second.mean())).mean() / spread)


def _ranks(values: Floats) -> NDArray[np.float64]:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = counts.cumsum()
    ranks: NDArray[np.float64] = (ends - (counts - 1) / 2)[places]
    return ranks


def normalised(images: NDArray[np.uint8], image: ImageSpec, *, device: torch.device) -> Tensor:
    """Return images (N, S, S, C) as the network's input (N, C, S, S)."""
    import torch

    from resnetctl.data.preprocess import normalise

    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).to(device)
    return normalise(pixels, image)
