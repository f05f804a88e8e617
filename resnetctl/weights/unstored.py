"""What a module holds and its state dict does not: plain tensors, and modules inside Python's own containers."""

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

REGISTERED: dict[type, str] = {
    list: "nn.ModuleList",
    tuple: "nn.ModuleList",
    set: "nn.ModuleList",
    dict: "nn.ModuleDict",
}


def plain_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield name and value of the float tensors that are attributes, and neither parameters nor buffers."""
    for prefix, inner in module.named_modules():
        for name, value in vars(inner).items():
            if isinstance(value, Tensor) and value.is_floating_point():
                yield f"{prefix}.{name}".lstrip("."), value


def loose_modules(module: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield each attribute with modules of its own in a list, a tuple, a set or a dict, and what torch has instead."""
    known = {id(inner) for inner in module.modules()}
    for prefix, inner in module.named_modules():
        for name, value in vars(inner).items():
            if type(value) in REGISTERED and not (name.startswith("_") and name in vars(nn.Module())):
                items = value.values() if isinstance(value, Mapping) else value
                if any(isinstance(item, nn.Module) and id(item) not in known for item in items):
                    yield f"{prefix}.{name}".lstrip("."), REGISTERED[type(value)]
