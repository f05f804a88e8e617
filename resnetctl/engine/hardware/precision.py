"""Precision of training and evaluation, chosen by a fixed rule from the device and the processor's instructions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from resnetctl.errors import UsageError
from resnetctl.hints import Setting
from resnetctl.system.machine import bf16_instructions

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "bf16", "fp16"]
MEASURED_BF16 = ("amx_bf16", "avx512_bf16")  # train faster than in fp32, to the same accuracy: benchmarks/bf16.md


def pick_precision(wanted: str, device: torch.device) -> Precision:
    """Return the precision to train in. `auto` is bf16 on devices that compute in it, else fp32.

    Such devices are CUDA devices from Ampere on and processors with `avx512_bf16` or `amx_bf16`. Arm's bf16 was not
    measured, so only `bf16` chooses it. Older CUDA devices emulate it: there too only `bf16` chooses it.

    Raises:
        UsageError: the precision is unknown; or it is bf16 on a processor without bf16 arithmetic, where it was
            measured 12 times slower (AVX2); or it is fp16 on a device other than CUDA.
    """
    import torch

    if wanted not in ("auto", *get_args(Precision)):
        raise UsageError(
            f"'{wanted}' is not a precision", where=Setting("precision"), hint="auto, fp32, bf16, or fp16 on CUDA"
        )
    if wanted == "fp16":
        if device.type != "cuda":
            raise UsageError(
                f"fp16 needs a CUDA device, and this run is on {device.type}",
                where=Setting("precision"),
                hint=Setting("precision", "auto"),
            )
        return "fp16"

    instructions = bf16_instructions() if device.type == "cpu" else ""
    if wanted == "auto":
        is_cuda = device.type == "cuda"
        is_fast = torch.cuda.is_bf16_supported(including_emulation=False) if is_cuda else instructions in MEASURED_BF16
        return "bf16" if is_fast else "fp32"
    supported = torch.cuda.is_bf16_supported() if device.type == "cuda" else bool(instructions)
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


def arithmetic_facts(device: str, precision: str) -> dict[str, str]:
    """Return what must not change for a bit-exact resume: the name of a GPU, and the instructions of bf16 on a CPU."""
    import torch

    if not device.startswith("cuda"):
        return {"bf16": bf16_instructions()} if precision == "bf16" else {}
    # torch's version, which a checkpoint has too, names those of CUDA and cuDNN
    return {"gpu": torch.cuda.get_device_name(device) if torch.cuda.is_available() else "none"}
