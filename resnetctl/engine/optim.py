"""Optimizers over parameter groups: weights decay, norms and biases do not; the head learns at full rate.

Weight decay pulls a parameter towards zero. The norm after a convolution cancels the scale of its weights, so decay
does not limit the convolution; it keeps the weights from growing, because the same step changes larger weights less.
The norm's own parameters set the scale, and have no decay.
"""

import contextlib
import struct
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from resnetctl import registry
from resnetctl.config.arguments import keywords, refusable, with_arguments
from resnetctl.config.schema import TrainConfig

SHARED = {"momentum", "nesterov", "beta1", "beta2", "eps"}  # keys of [optim] that optimizers get if they name them
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
    """Return the optimizer of the config over the parameters that require a gradient.

    Each group has an `lr_scale`, by which `set_lr` multiplies: 1 for `head`, `backbone_scale` for the rest. Norm
    parameters and biases (one dimension) have no weight decay, unless `optim.decay_norm_and_bias` is on.

    Args:
        stages: the parameters of stem, first stage and so on. The last one has `layer_decay` times the rate of the
            rest, the one before it `layer_decay ** 2` (Clark et al. 2020, arXiv:2003.10555, by stages; timm's
            `--layer-decay` goes by blocks).
        with_frozen: add frozen parameters too, because they train later. An optimizer skips what has no gradient.

    Raises:
        ConfigError: the optimizer does not have the arguments in `optim.args`.
        PluginError: the plugin fails, or its optimizer has other parameter groups.
    """
    in_head = {id(parameter) for parameter in head}
    distances = {id(item): len(stages) - place for place, stage in enumerate(stages) for item in stage}
    # by learning rate scale, weight decay, and whether they train from the first step: torch's fused SGD cannot mix
    # parameters with and without momentum in one group
    groups: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad or with_frozen:
            decays = parameter.ndim > 1 or config.optim.decay_norm_and_bias
            lower = backbone_scale * config.optim.layer_decay ** distances.get(id(parameter), 0)
            scale = 1.0 if id(parameter) in in_head else lower
            decay = config.weight_decay if decays else 0.0
            groups.setdefault((scale, decay, parameter.requires_grad), []).append(parameter)
    settings = [
        {"params": parameters, "lr_scale": scale, "weight_decay": decay}
        for (scale, decay, _), parameters in groups.items()
    ]
    return _optimizer(settings, config)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Write the learning rate of this step into every group.

    On CUDA it is rounded to float32. A kernel in a graph reads it from a float32 tensor, and eager steps must give the
    same bits.
    """
    for group in optimizer.param_groups:
        rate = lr * group["lr_scale"]
        group["lr"] = rate if not group["params"][0].is_cuda else struct.unpack("f", struct.pack("f", rate))[0]


@contextlib.contextmanager
def rates_from(optimizer: torch.optim.Optimizer, rates: Sequence[Tensor]) -> Iterator[None]:
    """Let the optimizer read its learning rates from 0-d tensors, one a group, within a `with` statement.

    A number of Python would stay in a graph as it was when the graph was captured.
    """
    kept = [dict(group) for group in optimizer.param_groups]
    try:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
            if "capturable" in group:  # torch's Adam asks for it in a capture; fused, it changes nothing else
                group["capturable"] = True
        yield
    finally:
        for group, before in zip(optimizer.param_groups, kept, strict=True):
            group.update({key: before[key] for key in ("lr", "capturable") if key in before})


class LossScale:
    """The factor on an fp16 loss, so that small gradients do not round to 0 (Micikevicius et al. 2018).

    arXiv:1710.03740. It falls by half when a gradient overflows, and doubles after many steps in which none did, as in
    torch's `GradScaler`. That one leaves a fused SGD with uninitialised momentum if it skips the first step.
    """

    def __init__(self, factor: float = 2.0**16, *, interval: int = 2000) -> None:
        self.factor, self.interval, self.sound_steps = factor, interval, 0

    def unscale(self, optimizer: torch.optim.Optimizer) -> bool:
        """Divide all gradients by the factor, choose the next factor, and return whether all gradients are finite."""
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        torch._foreach_mul_(gradients, 1 / self.factor)
        is_sound = bool(torch.stack([gradient.isfinite().all() for gradient in gradients]).all())
        self.sound_steps = self.sound_steps + 1 if is_sound else 0
        if not is_sound:
            self.factor /= 2
        elif self.sound_steps % self.interval == 0:
            self.factor *= 2
        return is_sound


def sgd(
    groups: list[dict[str, Any]], *, lr: float, momentum: float = 0.9, nesterov: bool = True
) -> torch.optim.Optimizer:
    """Return torch's SGD. Nesterov's momentum needs a momentum."""
    use_nesterov = nesterov and momentum > 0
    return _eager(torch.optim.SGD)(groups, lr=lr, momentum=momentum, nesterov=use_nesterov, fused=True)


def adam(
    groups: list[dict[str, Any]], *, lr: float, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8
) -> torch.optim.Optimizer:
    """Return torch's Adam, Kingma & Ba 2015, arXiv:1412.6980."""
    return _eager(torch.optim.Adam)(groups, lr=lr, betas=(beta1, beta2), eps=eps, fused=True)


def adamw(
    groups: list[dict[str, Any]], *, lr: float, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8
) -> torch.optim.Optimizer:
    """Return torch's AdamW: the decay is apart from the gradient, Loshchilov & Hutter 2019, arXiv:1711.05101."""
    return _eager(torch.optim.AdamW)(groups, lr=lr, betas=(beta1, beta2), eps=eps, fused=True)


def _optimizer(groups: list[dict[str, Any]], config: TrainConfig) -> torch.optim.Optimizer:
    optim, name = config.optim, config.optim.name
    function = registry.get("optimizer", name)
    shared = optim.model_dump(include=SHARED)
    arguments = keywords(function, shared=shared, args=optim.args, key="optim.args", title=f"optimizer '{name}'")
    given = [len(group["params"]) for group in groups]
    with refusable("optimizer", name, function=function, args=optim.args, key="optim.args"):
        optimizer: torch.optim.Optimizer = function(groups, lr=config.lr, **arguments)
    if registry.distribution_of("optimizer", name) and (problem := complaint(optimizer, given)):
        with with_arguments("optimizer", name, args=optim.args):
            raise registry.fault("optimizer", name, problem=problem)
    return optimizer


def complaint(optimizer: Any, counts: Sequence[int]) -> str:
    """Return what is wrong with an optimizer for groups of `counts` parameters, "" if nothing."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        return f"it returned {type(optimizer).__name__}, not a torch.optim.Optimizer"
    own = [len(group["params"]) for group in optimizer.param_groups]
    if own != list(counts):
        return f"its groups have {own} parameters, not the given {list(counts)}"
    return "" if all("lr_scale" in group for group in optimizer.param_groups) else "its groups lost the key lr_scale"


@cache
def _eager(kind: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
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
