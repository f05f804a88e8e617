"""Torch's optimizers over parameter groups: weights decay, norms and biases do not; the head learns at full rate.

Weight decay pulls a parameter towards zero. The norm after a convolution cancels the scale of its weights, so decay
does not limit the convolution; it keeps the weights from growing, because the same step changes larger weights less.
The norm's own parameters set the scale, and have no decay.
"""

from collections.abc import Callable, Collection, Sequence
from functools import cache
from typing import Any

import torch
from torch import nn

from resnetctl.config.schema import TrainConfig

DECORATED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")


def build_optimizer(
    model: nn.Module,
    config: TrainConfig,
    *,
    head: Collection[nn.Parameter],
    backbone_scale: float = 1.0,
    stages: Sequence[Collection[nn.Parameter]] = (),
    with_frozen: bool = False,
) -> torch.optim.Optimizer:
    """Return SGD, Adam or AdamW over the parameters that require a gradient.

    Each group has an `lr_scale`, by which `set_lr` multiplies: 1 for `head`, `backbone_scale` for the rest. Norm
    parameters and biases (one dimension) have no weight decay, unless `optim.decay_norm_and_bias` is on.

    Args:
        stages: the parameters of stem, first stage and so on. The last one has `layer_decay` times the rate of the
            rest, the one before it `layer_decay ** 2` (Clark et al. 2020, arXiv:2003.10555, by stages; timm's
            `--layer-decay` goes by blocks).
        with_frozen: add frozen parameters too, because they train later. An optimizer skips what has no gradient.
    """
    in_head = {id(parameter) for parameter in head}
    distances = {id(item): len(stages) - place for place, stage in enumerate(stages) for item in stage}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}  # by (learning rate scale, weight decay)
    for parameter in model.parameters():
        if parameter.requires_grad or with_frozen:
            decays = parameter.ndim > 1 or config.optim.decay_norm_and_bias
            lower = backbone_scale * config.optim.layer_decay ** distances.get(id(parameter), 0)
            scale = 1.0 if id(parameter) in in_head else lower
            groups.setdefault((scale, config.weight_decay if decays else 0.0), []).append(parameter)
    settings = [
        {"params": parameters, "lr_scale": scale, "weight_decay": decay}
        for (scale, decay), parameters in groups.items()
    ]
    optimizer: torch.optim.Optimizer = _optimizer(settings, config)
    return optimizer


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Write the learning rate of this step into every group."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


def _optimizer(groups: list[dict[str, Any]], config: TrainConfig) -> Any:
    optim = config.optim
    if optim.name == "sgd":
        nesterov = optim.nesterov and optim.momentum > 0
        return _eager(torch.optim.SGD)(groups, lr=config.lr, momentum=optim.momentum, nesterov=nesterov, fused=True)
    kind = _eager(torch.optim.Adam if optim.name == "adam" else torch.optim.AdamW)
    return kind(groups, lr=config.lr, betas=(optim.beta1, optim.beta2), eps=optim.eps, fused=True)


@cache
def _eager(kind: type[torch.optim.Optimizer]) -> Any:
    """Return `kind` without the decorators for `torch.compile`, which the training loop does not use.

    The decorators load `torch.compile` and sympy when the first optimizer is created: 2.5 s of CPU and 83 MB (torch
    2.14).
    """
    methods = {name: _undecorated(getattr(kind, name)) for name in DECORATED}
    return type(kind.__name__, (kind,), methods | {"step": torch.no_grad()(_undecorated(kind.step))})


def _undecorated(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function inside the outermost decorator, or the function itself if it has none."""
    inner: Callable[..., Any] = getattr(method, "__wrapped__", method)
    return inner
