"""The dtypes of a block: tensors that move with it, and an output in the dtype of its parameters."""

import torch
from torch import Tensor, nn

from resnetctl.testing.findings import Broken, Skipped, expect
from resnetctl.weights.unstored import loose_modules, plain_tensors

LARGE = "compute exp, division and norms in float32: large values overflow"


def registering(names: list[str]) -> str:
    """Return the advice for plain tensors."""
    last = names[0].rpartition(".")[2]
    return f"use self.register_buffer('{last}', ...) for a constant, nn.Parameter(...) for what the block learns"


def require_registered(module: nn.Module) -> None:
    """Raise `Broken` for plain tensors and loose modules: they follow the module to no device, dtype and file."""
    for name, container in loose_modules(module):
        raise Broken(f"{name}: modules that the block does not know as its own", fix=f"use {container} in place of it")
    names = [name for name, _ in plain_tensors(module)]
    kind = "a plain tensor" if len(names) == 1 else "plain tensors"
    seen = f"{', '.join(names)}: {kind}, neither a parameter nor a buffer"
    expect(not names, seen, fix=registering(names) if names else "")


def require_all_moves(module: nn.Module) -> None:
    """Raise `Skipped` for a module with loose ones, which stay in float32: the rule `state_dict` names them."""
    for name, _ in loose_modules(module):
        raise Skipped(f"the modules in {name} stay in float32")


def require_bfloat16(unit: nn.Module, output: Tensor, *, case: str) -> None:
    """Raise `Broken`, with the cause, unless the output of a block of bfloat16 parameters is bfloat16 and finite."""
    names = [name for name, _ in plain_tensors(unit)]
    widens = "cast what forward computes in float32 back to the dtype of its input: .to(images.dtype)"
    seen = f"a block of bfloat16 parameters gives {output.dtype} {case}, not torch.bfloat16"
    expect(output.dtype == torch.bfloat16, seen, fix=registering(names) if names else widens)
    expect(not output.isnan().any(), f"a block of bfloat16 parameters gives NaN {case}")
    expect(not output.isinf().any(), f"a block of bfloat16 parameters gives infinity {case}", fix=LARGE)
