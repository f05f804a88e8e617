"""The dtypes of a block: tensors that move with it, and an output in the dtype of its parameters."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from resnetctl.testing.findings import expect

LARGE = "compute exp, division and norms in float32: large values overflow"


def plain_tensors(module: nn.Module) -> Iterator[str]:
    """Yield the names of float tensors that are attributes, and neither parameters nor buffers."""
    for prefix, inner in module.named_modules():
        for name, value in vars(inner).items():
            if isinstance(value, Tensor) and value.is_floating_point():
                yield f"{prefix}.{name}".lstrip(".")


def registering(names: list[str]) -> str:
    """Return the advice for plain tensors."""
    last = names[0].rpartition(".")[2]
    return f"use self.register_buffer('{last}', ...) for a constant, nn.Parameter(...) for what the block learns"


def require_no_plain_tensors(module: nn.Module) -> None:
    """Raise `Broken` for a module with plain tensors: they follow it to no device, no dtype and no file."""
    names = list(plain_tensors(module))
    kind = "a plain tensor" if len(names) == 1 else "plain tensors"
    seen = f"{', '.join(names)}: {kind}, neither a parameter nor a buffer"
    expect(not names, seen, fix=registering(names) if names else "")


def require_bfloat16(unit: nn.Module, output: Tensor, *, case: str) -> None:
    """Raise `Broken`, with the cause, unless the output of a block of bfloat16 parameters is bfloat16 and finite."""
    names = list(plain_tensors(unit))
    widens = "cast what forward computes in float32 back to the dtype of its input: .to(images.dtype)"
    seen = f"a block of bfloat16 parameters gives {output.dtype} {case}, not torch.bfloat16"
    expect(output.dtype == torch.bfloat16, seen, fix=registering(names) if names else widens)
    expect(not output.isnan().any(), f"a block of bfloat16 parameters gives NaN {case}")
    expect(not output.isinf().any(), f"a block of bfloat16 parameters gives infinity {case}", fix=LARGE)
