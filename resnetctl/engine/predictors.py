"""Predictors for `metrics.measure`: raw uint8 images in, float32 logits out.

The functions import torch when they are called: prediction with an ONNX file (`deploy.onnx_reader`) needs no torch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnetctl import registry
from resnetctl.config.arguments import with_arguments
from resnetctl.engine.hardware.precision import autocast
from resnetctl.engine.metrics import GROUP, Images, Labels, Logits, Predictor
from resnetctl.errors import UsageError
from resnetctl.spec import ImageSpec, VectorSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

    from resnetctl.models.resnet import ResNet

HELD_PIXELS = 2**21  # of the batches in which an accelerator evaluates: 2,048 images of 32 px
NetPredictor = Callable[..., tuple[NDArray[Any], ...]]  # of images, and of numbers (B, D) for a net that reads some
Features = NDArray[np.float32]
FeaturePredictor = Callable[[Images], tuple[Logits, Features | None]]  # (B, S, S, C) to logits (B, K), features (B, D)


@contextmanager
def naming_block(model: Any) -> Iterator[None]:
    """Turn an exception of a forward pass into a `PluginError` if the block of the network is a plugin's."""
    try:
        yield
    except BaseException as error:
        arch, owner = getattr(model, "arch", None), {}
        with suppress(UsageError):  # a block that is under test has no name any more
            owner = {} if arch is None else registry.distribution_of("block", arch.block)
        if arch is None or not owner or registry.passes(error):
            raise
        with with_arguments("block", arch.block, args=arch.block_args):
            raise registry.failure("block", arch.block, error=error) from error


def torch_predictor(model: nn.Module, image: ImageSpec, *, device: torch.device, precision: str = "fp32") -> Predictor:
    """Return `model` as a predictor: put it into eval mode, and normalise images as in training.

    Args:
        model: on `device`, maps normalised (B, C, S, S) to logits (B, K).
        precision: `bf16` and `fp16` run under autocast; the logits come back as float32 either way.
    """
    import torch

    from resnetctl.data.preprocess import normalise

    model.eval()

    def predict(images: Images) -> Logits:
        # (B, S, S, C) in memory is (B, C, S, S) with channels-last strides: no copy
        pixels = torch.from_numpy(np.require(images, requirements=["C", "W"])).permute(0, 3, 1, 2).to(device)
        with torch.inference_mode(), autocast(device, precision), naming_block(model):
            logits: Logits = model(normalise(pixels, image)).float().cpu().numpy()
        return logits

    return predict


def with_mirrored(predict: Predictor) -> Predictor:
    """Return a predictor whose logits are the mean over each image and its mirror image: test-time augmentation."""

    def both(images: Images) -> Logits:
        mirrored = np.ascontiguousarray(images[:, :, ::-1])
        return (predict(images) + predict(mirrored)) * np.float32(0.5)

    return both


def held_logits(model: nn.Module, image: ImageSpec, *, pixels: torch.Tensor, precision: str = "fp32") -> torch.Tensor:
    """Return the float32 logits (N, K) of images that lie on the model's device, still there: no batch waits for it.

    Args:
        model: as in `torch_predictor`.
        pixels: uint8 (N, S, S, C).
        precision: as in `torch_predictor`.
    """
    import torch

    from resnetctl.data.preprocess import normalise

    model.eval()
    size = max(GROUP, HELD_PIXELS // pixels.shape[1] ** 2)
    with torch.inference_mode(), autocast(pixels.device, precision), naming_block(model):
        parts = [model(normalise(part.permute(0, 3, 1, 2), image)).float() for part in torch.split(pixels, size)]
        return torch.cat(parts)


def held_groups(
    model: nn.Module, image: ImageSpec, *, pixels: torch.Tensor, labels: Labels, precision: str = "fp32"
) -> Iterator[tuple[Logits, Labels]]:
    """Yield logits and labels, `GROUP` images at a time, after one copy from the device. Arguments as `held_logits`."""
    logits = held_logits(model, image, pixels=pixels, precision=precision).cpu().numpy()
    for start in range(0, len(labels), GROUP):
        yield logits[start : start + GROUP], labels[start : start + GROUP]


def net_predictor(
    net: nn.Module,
    image: ImageSpec,
    *,
    device: torch.device,
    precision: str = "fp32",
    vector: VectorSpec | None = None,
) -> NetPredictor:
    """Return a network with a head as a function from its inputs to the arrays of its `decode`.

    The inputs are uint8 images (B, S, S, C), and the numbers of the images, float32 (B, D), if it reads some. Puts the
    network into eval mode. Arguments as in `torch_predictor`; `vector` has the numbers that it reads.
    """
    import torch

    from resnetctl.data.preprocess import normalise, standardise

    net.eval()

    def predict(images: Images, *numbers: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
        given = [] if vector is None else [standardise(torch.tensor(one, device=device), vector) for one in numbers]
        pixels = torch.from_numpy(np.require(images, requirements=["C", "W"])).permute(0, 3, 1, 2).to(device)
        with torch.inference_mode(), autocast(device, precision), naming_block(net):
            decoded = net.decode(net(normalise(pixels, image), *given))  # type: ignore[operator]  # a Net has it
        return tuple((part.float() if part.is_floating_point() else part).cpu().numpy() for part in decoded)

    return predict


def shipped_predictor(model: ResNet, image: ImageSpec, *, device: torch.device, precision: str = "fp32") -> Predictor:
    """Return the predictor of `predict` and `eval`: norms folded, on `device`. It may share tensors with `model`."""
    return torch_predictor(_shipped(model, device), image, device=device, precision=precision)


def feature_predictor(
    model: ResNet, image: ImageSpec, *, device: torch.device, precision: str = "fp32"
) -> FeaturePredictor:
    """Return `shipped_predictor` with features: the last stage averaged over all pixels (B, D), which the head reads.

    The logits are those of `shipped_predictor`, bit for bit. Several threads may use one.
    """
    net = _shipped(model, device)
    seen = threading.local()  # what the head of this thread's pass read

    def remember(_: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        seen.features = arguments[0]

    net.get_submodule("fc").register_forward_pre_hook(remember)
    predict = torch_predictor(net, image, device=device, precision=precision)

    def predict_both(images: Images) -> tuple[Logits, Features]:
        logits = predict(images)
        features: Features = seen.features.float().cpu().numpy()
        return logits, features

    return predict_both


def _shipped(model: ResNet, device: torch.device) -> nn.Module:
    from resnetctl.engine.fold import folded
    from resnetctl.engine.hardware.device import place

    net = folded(model)
    place(net, device)
    return net
