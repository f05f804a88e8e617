"""What makes the CPU wait for an accelerator, or keeps a policy out of a CUDA graph. Found without a GPU."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from resnetctl.engine.graph import why_eager
from resnetctl.spec import ImageSpec, Policy, Transform
from resnetctl.testing.findings import Skipped

ACCELERATOR = "meta"  # torch's device without numbers: reading one is an error


class NoWaits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises `RuntimeError` for a copy between the CPU and an accelerator. Counts all operations."""

    count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        devices = {item.device.type for item in tree_leaves((args, result)) if isinstance(item, Tensor)}
        if "copy" in str(function) and len(devices) > 1:
            raise RuntimeError("it copies between the CPU and the accelerator")
        self.count += 1
        return result


def require_no_wait(work: Callable[[Any], object], given: Any) -> None:
    """Do work on what lies on `ACCELERATOR` twice: the first time may make constants.

    Raises what says that it would wait, or `Skipped` if an operation has no form without numbers.
    """
    try:
        work(given)
        with NoWaits():  # type: ignore[no-untyped-call]
            work(given)
    except NotImplementedError as error:
        if "Meta tensors, but" not in str(error):
            raise
        raise Skipped(f"an operation cannot be tried without a device: {error}") from None


def require_capturable(policy: Policy, transforms: Sequence[Transform], *, image: ImageSpec) -> str:
    """Return that the transforms of a policy may be part of a CUDA graph. Raise `Skipped` with the reason if not."""
    if not policy.capturable:
        raise Skipped("it says that it is not capturable, so it runs eagerly")
    for transform in transforms:
        if reason := why_eager(transform, image):
            raise Skipped(f"it runs eagerly, before the CUDA graph of a step: {reason}")
    return "may be part of a CUDA graph"
