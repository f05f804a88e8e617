"""Find the line of a module's code that changes its input in place."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from resnetctl.errors import line_of_caller
from resnetctl.testing.findings import Broken


class _Watch(TorchFunctionMode):
    """Compare a tensor with its first values after each call of torch; `place` is the line of the first change."""

    def __init__(self, tensor: Tensor) -> None:
        super().__init__()
        self.tensor, self.values, self.place = tensor, tensor.detach().clone(), ""

    @property
    def is_changed(self) -> bool:
        """Whether the tensor has other values now."""
        return not torch.equal(self.tensor.detach(), self.values)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call the function; this mode is off meanwhile."""
        result = func(*args, **(kwargs or {}))
        if not self.place and self.is_changed:
            self.place = line_of_caller(sys._getframe(1), until=__name__)
        return result


def require_unchanged(module: nn.Module, features: Tensor, *, case: str) -> Tensor:
    """Return the module's output. Raises `Broken`, with the line in its code, if it changes `features` in place."""
    watch = _Watch(features)
    with watch:
        output: Tensor = module(features)
    if watch.is_changed:
        raise Broken(f"the input was changed in place {case}", place=watch.place)
    return output
