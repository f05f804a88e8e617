"""Predictors for `metrics.measure`: raw uint8 images in, float32 logits out.

The functions import torch when they are called: prediction with an ONNX file (`deploy.onnx_reader`) needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from resnetctl.engine.metrics import Images, Logits, Predictor
from resnetctl.spec import ImageSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

    from resnetctl.models.resnet import ResNet


def torch_predictor(model: nn.Module, image: ImageSpec, *, device: torch.device, precision: str = "fp32") -> Predictor:
    """Return `model` as a predictor: put it into eval mode, and normalise images as in training.

    Args:
        model: on `device`, maps normalised (B, C, S, S) to logits (B, K).
        precision: `bf16` runs under autocast; the logits come back as float32 either way.
    """
    import torch

    from resnetctl.data.preprocess import normalise

    model.eval()

    def predict(images: Images) -> Logits:
        # (B, S, S, C) in memory is (B, C, S, S) with channels-last strides: no copy
        pixels = torch.from_numpy(np.require(images, requirements=["C", "W"])).permute(0, 3, 1, 2).to(device)
        with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            logits: Logits = model(normalise(pixels, image)).float().cpu().numpy()
        return logits

    return predict


def shipped_predictor(model: ResNet, image: ImageSpec, *, device: torch.device) -> Predictor:
    """Return the predictor of `predict` and `eval`: norms folded, on `device`. It may share tensors with `model`."""
    from resnetctl.engine.device import place
    from resnetctl.engine.fold import folded

    net = folded(model)
    place(net, device)
    return torch_predictor(net, image, device=device)
