"""The device of a run: which one, exact sums on it, the layout of weights, and its random generators."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeGuard

from resnetctl.errors import UsageError
from resnetctl.hints import Setting

if TYPE_CHECKING:  # lists and help import this module, and must not import torch
    import torch
    from torch import nn

WORKSPACE, EXACT_WORKSPACES = "CUBLAS_WORKSPACE_CONFIG", (":4096:8", ":16:8")


def pick_device(name: str) -> torch.device:
    """Return the device called `name`; `auto` is cuda, else mps, else cpu.

    Raises:
        UsageError: the name is unknown, or this machine has no such device.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(
            f"'{name}' is not a device", where=Setting("device"), hint="auto, cpu, cuda, cuda:1 or mps"
        ) from None
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if not available.get(device.type, False) or (device.index or 0) >= count:
        raise UsageError(f"this machine has no device '{name}'", where=Setting("device"), hint=Setting("device", "cpu"))
    return device


def claim_device(name: str, *, exact: bool) -> torch.device:
    """Return the device called `name`. With `exact`, a CUDA device repeats its results bit for bit from now on.

    Kernels then add in a fixed order, and float32 stays float32: by default, convolutions round their inputs to TF32.
    It holds for the whole process, also for later runs. Call it before the first work on CUDA, because cuBLAS reads
    the environment then.

    Raises:
        UsageError: as `pick_device`, or the environment or earlier work of this process prevents exact kernels.
    """
    import torch

    device = pick_device(name)
    if exact and device.type == "cuda":
        _fix_workspace(was_used=torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
        torch.use_deterministic_algorithms(True)  # an operation without such a kernel raises
        # new memory is not filled with NaN: that would only find a read before a write
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False  # it may choose other algorithms in each process
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
    return device


def _fix_workspace(*, was_used: bool) -> None:
    """Give cuBLAS the workspace with which its sums repeat (NVIDIA's cuBLAS manual, "Results Reproducibility")."""
    chosen = os.environ.get(WORKSPACE, "")
    if chosen not in EXACT_WORKSPACES and (chosen or was_used):
        reason = f"is {chosen}" if chosen else "is not set, and this process has used CUDA before"
        raise UsageError(
            f"exact sums on CUDA need {WORKSPACE}={EXACT_WORKSPACES[0]}, and it {reason}",
            where=Setting("exact"),
            hint=f"set {WORKSPACE}={EXACT_WORKSPACES[0]} before the program starts",
        )
    os.environ.setdefault(WORKSPACE, EXACT_WORKSPACES[0])


def place(model: nn.Module, device: torch.device) -> None:
    """Move `model` to `device` and lay out its weights channels-last, like its images.

    On a CPU, convolutions that make oneDNN crash in this layout keep torch's default layout.
    """
    import torch

    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    for module in model.modules() if device.type == "cpu" else ():
        if _overruns(module):
            module.weight.data = module.weight.data.clone(memory_format=torch.contiguous_format)
            module.register_forward_pre_hook(_channels_first, with_kwargs=True)


def _overruns(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Return whether the module is a strided 1x1 convolution with 2 to 7 input channels.

    In channels-last, the gradient of such a convolution may write past its memory: the process dies, or goes on with
    damaged memory. malloc's checks report it for 2 to 6 channels with torch 2.14.1 (oneDNN 3.12) on AVX2.
    """
    from torch import nn

    if not isinstance(module, nn.Conv2d):
        return False
    return module.kernel_size == (1, 1) and module.stride != (1, 1) and 1 < module.in_channels < 8


def _channels_first(
    module: nn.Module, images: tuple[torch.Tensor, ...], named: dict[str, torch.Tensor]
) -> tuple[tuple[torch.Tensor, ...], dict[str, torch.Tensor]]:
    return tuple(each.contiguous() for each in images), {name: each.contiguous() for name, each in named.items()}


def seed_generators(device: torch.device, seed: int) -> None:
    """Seed the generators of the CPU and of `device`.

    `torch.manual_seed` would cost 1 ms a step on a CPU and 87 us with CUDA: it also prepares the generators of absent
    devices, with a stack trace for each.
    """
    import torch

    if device.type in ("cpu", "cuda"):
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)
    if device.type == "cuda":
        place = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.default_generators[place].manual_seed(seed)
