"""Read the pickled batches of CIFAR without running code from the pickle.

A pickle is a program: it names functions and calls them. A pickled array of bytes needs three names. Each of them gets
a stand-in of our own, which can only become an array of uint8. Every other name is refused, and nothing is imported
for a pickle.
"""

from __future__ import annotations

import io
import pickle
from typing import TYPE_CHECKING, Any

from resnetctl.errors import DataError
from resnetctl.system.pickles import check

if TYPE_CHECKING:
    import numpy as np


class _Byte:
    """Stands for `numpy.dtype`. The pickle sets its state, which must be that of plain bytes."""

    __slots__ = ()

    def __init__(self, kind: object, *_: object) -> None:
        if kind not in ("u1", b"u1"):
            raise pickle.UnpicklingError(f"it asks for an array of {kind!r}, not of bytes")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, order, *structure = state[:5]
        if order not in ("|", b"|") or structure != [None, None, None]:
            raise pickle.UnpicklingError("it changes the type of its arrays")


class _Array:
    """Stands for `numpy.core.multiarray._reconstruct`: an array that the next instruction of the pickle fills."""

    __slots__ = ("values",)

    def __init__(self, *_: object) -> None:
        import numpy as np

        self.values: np.ndarray[Any, Any] = np.empty(0, np.uint8)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        import numpy as np

        _version, shape, kind, columns_first, content = state
        if not isinstance(kind, _Byte):
            raise pickle.UnpicklingError("it asks for an array that is not of bytes")
        self.values = np.frombuffer(content, np.uint8).reshape(shape, order="F" if columns_first else "C")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")):
            return _Array
        if (module, name) == ("numpy", "dtype"):
            return _Byte
        if (module, name) == ("numpy", "ndarray"):
            return "ndarray"  # an argument of _reconstruct, which ignores it
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not allowed")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it asks for a persistent object, which is not allowed")


def load_table(data: bytes, *, where: str) -> dict[str, Any]:
    """Return the dictionary in the pickle `data`, with text keys. Values are arrays of uint8, lists, numbers or bytes.

    Raises:
        DataError: the pickle is damaged, has no dictionary, or asks for a forbidden name.
    """
    try:
        check(io.BytesIO(data))
        table = _Unpickler(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:  # a hostile pickle may raise anything
        raise DataError(f"the pickle was refused: {error}", where=where) from error
    if not isinstance(table, dict):
        raise DataError(f"the pickle holds a {type(table).__name__}, not a dictionary", where=where)
    return {_text(key): value.values if isinstance(value, _Array) else value for key, value in table.items()}


def _text(key: Any) -> str:
    return key.decode("latin-1") if isinstance(key, bytes) else str(key)
