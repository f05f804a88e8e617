"""A stand-in for CUDA graphs on a CPU: it repeats the operations of a capture with the numbers of the capture."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

READ = torch.ops.aten._local_scalar_dense.default


class Tape(TorchDispatchMode):
    """Records the operations inside `capture`, and undoes what they did; `replay` does them again.

    As in a CUDA graph, memory that the work made itself belongs to the graph, and is garbage until a replay; all other
    memory keeps its place. Numbers of Python stay what they were. Reading a number of a tensor is an error.
    """

    def __init__(self) -> None:
        super().__init__()
        self.replays = 0
        self._calls: list[tuple[Any, Any, Any, Any]] = []
        self._own: dict[int, torch.UntypedStorage] = {}  # made by the work
        self._before: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}  # other memory, and its copy

    @contextlib.contextmanager
    def capture(self) -> Iterator["Tape"]:
        generator = torch.get_rng_state()
        with self:
            yield self
        torch.set_rng_state(generator)
        for storage, kept in self._before.values():
            storage.copy_(kept, non_blocking=False)
        for storage in self._own.values():
            storage.fill_(255)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is READ:
            raise RuntimeError("a captured step reads a number")
        kwargs = kwargs or {}
        for tensor in _tensors((args, kwargs)):
            storage = tensor.untyped_storage()
            if storage._cdata not in self._own and storage._cdata not in self._before:
                self._before[storage._cdata] = storage, storage.clone()
        result = function(*args, **kwargs)
        for tensor in _tensors(result):
            storage = tensor.untyped_storage()
            if storage._cdata not in self._before:
                self._own[storage._cdata] = storage
        self._calls.append((function, args, kwargs, result))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        """Do the operations again."""
        self.replays += 1
        now: dict[int, torch.UntypedStorage] = {}

        def placed(tensor: Tensor) -> Tensor:
            storage = now.get(tensor.untyped_storage()._cdata)
            if storage is None:
                return tensor.detach()
            new = torch.empty(0, dtype=tensor.dtype)
            return new.set_(storage, tensor.storage_offset(), tensor.shape, tensor.stride())

        for function, args, kwargs, result in self._calls:
            again = function(*tree_map_only(Tensor, placed, args), **tree_map_only(Tensor, placed, kwargs))
            for old, new in zip(_tensors(result), _tensors(again), strict=True):
                if old.untyped_storage()._cdata in self._own:
                    now[old.untyped_storage()._cdata] = new.untyped_storage()


def _tensors(values: Any) -> list[Tensor]:
    return [item for item in tree_leaves(values) if isinstance(item, Tensor)]
