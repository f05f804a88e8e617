"""Networks with fewer channels than their arch says: the shapes of the layers that are narrower.

A map `{module: (in, out, groups)}` describes them, for convolutions and batch norms (`in` and `out` are equal there).
It is plain data, so a narrower network is rebuilt from its arch and the map, and then its tensors load.
"""

from collections.abc import Mapping

import torch
from torch import nn

from resnetctl.errors import ConfigError

Channels = Mapping[str, tuple[int, ...]]
SHOWN = 5  # problems in an error


def narrow(model: nn.Module, channels: Channels) -> None:
    """Cut layers to the shapes of the map. Their first channels stay: load the right tensors afterwards.

    Raises:
        ConfigError: a module is missing, of another kind, or has fewer channels than the map says.
    """
    parts = dict(model.named_modules())
    problems = [text for name, shape in channels.items() if (text := _problem(parts.get(name), name, shape))]
    if problems:
        raise ConfigError("the channels do not fit the arch", problems=problems[:SHOWN])
    with torch.no_grad():
        for name, (inputs, outputs, groups) in channels.items():
            _cut(parts[name], inputs, outputs=outputs, groups=groups)


def require_fit(model: nn.Module, images: torch.Tensor) -> None:
    """Raise `ConfigError` unless a pass over the images `(N, C, S, S)` shows that the layers fit together."""
    try:
        with torch.no_grad():
            model.eval()(images)
    except RuntimeError as error:
        raise ConfigError(f"the channels of the layers do not fit together: {error}") from None


def shape_of(module: nn.Module) -> tuple[int, int, int]:
    """Return `(in, out, groups)` of a convolution or a batch norm."""
    if isinstance(module, nn.Conv2d):
        return module.in_channels, module.out_channels, module.groups
    assert isinstance(module, nn.BatchNorm2d)
    return module.num_features, module.num_features, 1


def _problem(module: nn.Module | None, name: str, shape: tuple[int, ...]) -> str:
    if type(module) not in (nn.Conv2d, nn.BatchNorm2d) or module is None:
        return f"{name[:80]}: the arch has no convolution or batch norm of this name"
    if len(shape) != 3 or min(shape) < 1 or any(new > old for new, old in zip(shape, shape_of(module), strict=True)):
        return f"{name}: {list(shape)} is not within {list(shape_of(module))}"
    inputs, outputs, groups = shape
    if inputs % groups or outputs % groups or (isinstance(module, nn.BatchNorm2d) and inputs != outputs):
        return f"{name}: {list(shape)} are not the channels of such a layer"
    return ""


def _cut(module: nn.Module, inputs: int, *, outputs: int, groups: int) -> None:
    if isinstance(module, nn.Conv2d):
        module.in_channels, module.out_channels, module.groups = inputs, outputs, groups
        module.weight = nn.Parameter(module.weight[:outputs, : inputs // groups].clone())
        if module.bias is not None:
            module.bias = nn.Parameter(module.bias[:outputs].clone())
        return
    assert isinstance(module, nn.BatchNorm2d)
    module.num_features = outputs
    for name, parameter in list(module.named_parameters()):
        setattr(module, name, nn.Parameter(parameter[:outputs].clone()))
    for name, buffer in list(module.named_buffers()):
        if buffer.dim():
            setattr(module, name, buffer[:outputs].clone())
