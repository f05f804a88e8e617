"""Device, threads and precision, chosen by fixed rules from the machine, the arch and the image size."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal, TypeGuard

from resnetctl.errors import UsageError
from resnetctl.hints import Setting
from resnetctl.models.multiply_adds import multiply_adds
from resnetctl.spec import Arch
from resnetctl.system.machine import bf16_instructions, cores_granted

if TYPE_CHECKING:  # prediction with ONNX files also uses the thread rule, and must not import torch
    import torch
    from torch import nn

WORKSPACE, EXACT_WORKSPACES = "CUBLAS_WORKSPACE_CONFIG", (":4096:8", ":16:8")
Precision = Literal["fp32", "bf16", "fp16"]
MEASURED_BF16 = ("amx_bf16", "avx512_bf16")  # train faster than in fp32, to the same accuracy: benchmarks/bf16.md
TINY_MACS = 10_000_000  # below this many multiply-adds an image, a second thread costs more time than it saves


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


def arithmetic_facts(device: str, precision: str) -> dict[str, str]:
    """Return what must not change for a bit-exact resume: the name of a GPU, and the instructions of bf16 on a CPU."""
    import torch

    if not device.startswith("cuda"):
        return {"bf16": bf16_instructions()} if precision == "bf16" else {}
    # torch's version, which a checkpoint has too, names those of CUDA and cuDNN
    return {"gpu": torch.cuda.get_device_name(device) if torch.cuda.is_available() else "none"}


def pick_precision(wanted: str, device: torch.device) -> Precision:
    """Return the precision to train in. `auto` is bf16 on devices that compute in it, else fp32.

    Such devices are CUDA devices that support it and processors with `avx512_bf16` or `amx_bf16`. Arm's bf16 was not
    measured, so only `bf16` chooses it.

    Raises:
        UsageError: bf16 on a processor without bf16 arithmetic, where it was measured 12 times slower (AVX2), or fp16
            on a device other than CUDA.
    """
    import torch

    if wanted == "fp16":
        if device.type != "cuda":
            raise UsageError(
                f"fp16 needs a CUDA device, and this run is on {device.type}",
                where=Setting("precision"),
                hint=Setting("precision", "auto"),
            )
        return "fp16"

    instructions = bf16_instructions()
    supported = torch.cuda.is_bf16_supported() if device.type == "cuda" else device.type == "cpu" and bool(instructions)
    if wanted == "auto":
        return "bf16" if supported and (device.type == "cuda" or instructions in MEASURED_BF16) else "fp32"
    if wanted == "bf16" and not supported:
        raise UsageError(
            f"bf16 is not supported on this {device.type}: the processor has no bf16 arithmetic and would be slower",
            where=Setting("precision"),
            hint=Setting("precision", "fp32"),
        )
    return "bf16" if wanted == "bf16" else "fp32"


def evaluation_precision(precision: str, device: torch.device) -> str:
    """Return the precision in which training measures val: fp32 on a CPU, as `predict` and `eval` compute there.

    So val of a run is what `eval` prints, and what its ONNX file answers. On CUDA it is the precision of training.
    """
    return "fp32" if device.type == "cpu" else precision


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which convolutions and matrix products run in this precision; at fp32 it does nothing."""
    import torch

    dtypes = {"bf16": torch.bfloat16, "fp16": torch.float16}
    return torch.autocast(device.type, dtype=dtypes.get(precision), enabled=precision in dtypes)


def pick_threads(wanted: int, *, arch: Arch, size: int, shards: int = 1) -> int:
    """Return `wanted` threads; if 0, one for a network that is tiny at this size, else one for each granted core.

    With several shards, each shard has its part of the cores, however many processes there are: threads change the last
    bits of a result, and processes must not.
    """
    if wanted:
        return wanted
    return 1 if multiply_adds(arch, size) < TINY_MACS else max(1, cores_granted() // shards)


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
