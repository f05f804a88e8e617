"""What to compute on: device, threads and precision, by fixed rules of the machine, the arch and the image size."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal, TypeGuard

from resnetctl.errors import UsageError
from resnetctl.spec import Arch

if TYPE_CHECKING:  # the thread rule serves ONNX files too, and those need no torch
    import torch
    from torch import nn

Precision = Literal["fp32", "bf16"]
MMAP_THRESHOLD, TRIM_THRESHOLD = (-3, 32 << 20), (-1, 64 << 20)  # parameter of mallopt(3), bytes
TINY_MACS = 10_000_000  # below this many multiply-adds an image, a second thread costs more than it brings


def pick_device(name: str) -> torch.device:
    """`auto` is cuda, then mps, then cpu. Raises `UsageError` when the one asked for is not here."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"'{name}' is not a device", where="--device", hint="auto, cpu, cuda, cuda:1 or mps") from None
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if not here.get(device.type, False) or (device.index or 0) >= count:
        raise UsageError(f"this machine has no device '{name}'", where="--device", hint="--device cpu")
    return device


def pick_precision(wanted: str, device: torch.device) -> Precision:
    """`auto` is bf16 on a CUDA device that has it, else fp32.

    Raises `UsageError` for bf16 where it would only be slower: measured 12 times slower on an AVX2 CPU.
    """
    import torch

    supported = torch.cuda.is_bf16_supported() if device.type == "cuda" else _cpu_has_bf16(device)
    if wanted == "auto":
        return "bf16" if supported and device.type == "cuda" else "fp32"
    if wanted == "bf16" and not supported:
        raise UsageError(
            f"bf16 is not supported on this {device.type}: the processor has no bf16 arithmetic and would be slower",
            where="precision",
            hint="--precision fp32",
        )
    return "bf16" if wanted == "bf16" else "fp32"


def pick_threads(wanted: int, *, arch: Arch, size: int) -> int:
    """`wanted`, or by rule: all cores granted, but one for a net that is tiny at this image size."""
    if wanted:
        return wanted
    return 1 if multiply_adds(arch, size) < TINY_MACS else cores_granted()


def place(model: nn.Module, device: torch.device) -> None:
    """Move `model` to `device` and lay its weights out channels-last, as the images that it gets are.

    On a CPU convolutions that oneDNN would crash on in this layout are left in torch's usual one.
    """
    import torch

    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    for module in model.modules() if device.type == "cpu" else ():
        if _overruns(module):
            module.weight.data = module.weight.data.clone(memory_format=torch.contiguous_format)
            module.register_forward_pre_hook(_channels_first, with_kwargs=True)


def keep_freed_memory() -> bool:
    """Let glibc keep what a step frees for the next one, where it is glibc; whether it does.

    Its own rule starts by giving every large block back to the system, and ends, when it has seen blocks of 32 MB, at
    the two limits that are set here. Below them it trims after each step, and the pages are made and zeroed again.
    Limits that the user set are left alone.
    """
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return False
    try:
        libc = ctypes.CDLL(None)
        return bool(libc.gnu_get_libc_version and libc.mallopt(*MMAP_THRESHOLD) and libc.mallopt(*TRIM_THRESHOLD))
    except (AttributeError, OSError, TypeError):  # another libc, or none to be had
        return False


def cores_granted() -> int:
    """Cores that this process may use: its affinity and its cgroups' quota, not what the machine has.

    A quota of part of a core more is rounded, half up: the second thread of 1.5 cores brings more than it costs.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return affinity if quota is None else max(1, min(affinity, int(quota + 0.5)))


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Cores that the cgroup of this process and those around it allow, v1 and v2: the smallest counts. None: no limit.

    `root` is where `proc` and the mounts of the controllers lie.
    """
    return min((quota for folder in _cgroups(root) if (quota := _quota(folder)) is not None), default=None)


def multiply_adds(arch: Arch, size: int) -> int:
    """Rough multiply-adds of one image: two 3x3 convolutions a block, whatever the block is. Torch-free arithmetic."""
    side = size if arch.resolve_stem(size).stem == "cifar" else size // 4
    total = 0
    for stage, (depth, width) in enumerate(zip(arch.depths, arch.widths, strict=True)):
        area = (-(-side // 2**stage)) ** 2
        total += depth * 2 * 9 * width * width * area
    return total


def _cgroups(root: Path) -> Iterator[Path]:
    """Folders that may limit the CPU: of the process's own cgroup, and upward to where the controller is mounted."""
    try:
        groups = [line.split(":", 2) for line in _lines(root / "proc/self/cgroup")]
        mounts = _lines(root / "proc/self/mountinfo")
    except OSError:  # not Linux
        return
    for mount in mounts:
        mounting, _, kind = mount.partition(" - ")
        version, _, rest = kind.partition(" ")
        controller = {"cgroup2": "", "cgroup": "cpu"}.get(version)
        if controller is None or controller not in ("", *rest.rpartition(" ")[2].split(",")):
            continue
        above, point = mounting.split(" ")[3:5]
        own = next((path for _, names, path in groups if controller in names.split(",")), above)
        # a container may see its own cgroup as the root of the mount, or of its namespace
        inside = PurePosixPath(own).relative_to(above) if PurePosixPath(own).is_relative_to(above) else PurePosixPath()
        mounted = root / point.lstrip("/")
        yield from (mounted / part for part in (inside, *inside.parents))


def _lines(file: Path) -> list[str]:
    """Lines of a file of the kernel's, in which other people's mounts have any bytes for names."""
    return [line for line in file.read_text(encoding="utf-8", errors="surrogateescape").split("\n") if line]


def _quota(folder: Path) -> float | None:
    """Cores that one cgroup allows by itself."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # no such controller here; v2 writes "max" for no limit, v1 -1
        return None


def _cpu_has_bf16(device: torch.device) -> bool:
    if device.type != "cpu":
        return False
    flags = Path("/proc/cpuinfo")
    return flags.exists() and any(flag in flags.read_text() for flag in ("avx512_bf16", "amx_bf16", " bf16"))


def _overruns(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether its gradient may write past its memory: channels-last, 1x1 with a stride, 2 to 7 channels in.

    Seen with 2 to 6, by malloc's checks, in torch 2.14.1 (oneDNN 3.12) on AVX2: the process dies of it, or goes on with
    spoilt memory.
    """
    from torch import nn

    if not isinstance(module, nn.Conv2d):
        return False
    return module.kernel_size == (1, 1) and module.stride != (1, 1) and 1 < module.in_channels < 8


def _channels_first(
    module: nn.Module, images: tuple[torch.Tensor, ...], named: dict[str, torch.Tensor]
) -> tuple[tuple[torch.Tensor, ...], dict[str, torch.Tensor]]:
    return tuple(each.contiguous() for each in images), {name: each.contiguous() for name, each in named.items()}
