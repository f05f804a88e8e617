"""Find the line that changes a tensor in place which the backward pass needs; torch's error names no line."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from resnetctl.errors import line_of_caller

MESSAGE = "modified by an inplace operation"  # in torch's error


def is_inplace(error: BaseException) -> bool:
    """Return whether torch raised `error` because a tensor of the backward pass was changed."""
    return isinstance(error, RuntimeError) and MESSAGE in str(error)


def line_of_change(forward: Callable[[], object]) -> str:
    """Call `forward`, and return the first line outside libraries that changes a saved tensor, or "".

    `forward` must build a graph; its backward pass is not run.
    """
    watch = _SavedTensors()
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(watch.save, lambda tensor: tensor), watch:
        forward()
    return watch.place


class _SavedTensors(TorchFunctionMode):
    """Compare the versions of saved tensors after each call of torch; `place` is the line of the first change."""

    def __init__(self) -> None:
        super().__init__()
        self.saved: list[tuple[Tensor, int]] = []
        self.place = ""

    def save(self, tensor: Tensor) -> Tensor:
        """Note the version of a tensor that autograd saves."""
        self.saved.append((tensor, tensor._version))
        return tensor

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call the function; this mode is off meanwhile."""
        result = func(*args, **(kwargs or {}))
        if not self.place and any(tensor._version != version for tensor, version in self.saved):
            self.place = line_of_caller(sys._getframe(1), until=__name__)
        return result
