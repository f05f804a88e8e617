"""Record what would make the host wait for an accelerator, on a machine without one."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

ACCELERATOR = torch.device("meta")  # a device without numbers: what needs one to go on raises an error


class Waits(TorchDispatchMode):
    """The operations in `found` copy between the CPU and the accelerator, or read a number or places from it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        results = result if isinstance(result, tuple | list) else [result]
        devices = {item.device.type for item in (*args, *results) if isinstance(item, Tensor)}
        reads = "_local_scalar_dense" in str(function) or "nonzero" in str(function)
        if ("copy" in str(function) and len(devices) > 1) or (reads and ACCELERATOR.type in devices):
            self.found.append(str(function))
        self.count += 1
        return result
