"""Read the pickled batches of CIFAR without running code from the pickle.

A pickle is a program: it names functions and calls them. A pickled array of bytes needs three names. Each of them gets
a stand-in that can only create arrays of uint8. Every other name is refused, and nothing is imported for a pickle.
"""

import io
import pickle
import pickletools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from resnetctl.errors import DataError

if TYPE_CHECKING:
    import numpy as np

MAX_MEMO = 1_000_000  # the C unpickler allocates as many slots as the largest memo index
MEMO_OPCODES = ("PUT", "BINPUT", "LONG_BINPUT")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return a new stand-in for each call, because a pickle can set attributes on it."""
        if (module, name) in (("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")):
            return _empty_array()
        if (module, name) == ("numpy", "dtype"):
            return _uint8_only()
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
        _check_memo(data)
        table = _Unpickler(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:  # a hostile pickle may raise anything
        raise DataError(f"the pickle was refused: {error}", where=where) from error
    if not isinstance(table, dict):
        raise DataError(f"the pickle holds a {type(table).__name__}, not a dictionary", where=where)
    return {key.decode("latin-1") if isinstance(key, bytes) else str(key): value for key, value in table.items()}


def _check_memo(data: bytes) -> None:
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in MEMO_OPCODES and isinstance(argument, int) and argument > MAX_MEMO:
            raise pickle.UnpicklingError(f"memo index {argument} is out of range")


def _empty_array() -> Callable[..., "np.ndarray[Any, Any]"]:
    """Return a stand-in for `numpy.core.multiarray._reconstruct`, which creates an empty array.

    The next instruction of the pickle sets its content.
    """
    import numpy as np

    return lambda *_: np.empty(0, np.uint8)


def _uint8_only() -> Callable[..., "np.dtype[Any]"]:
    """Return a stand-in for `numpy.dtype`. It returns a copy, because the pickle changes the state of the dtype."""
    import numpy as np

    def make(kind: object, *_: object) -> "np.dtype[Any]":
        if kind not in ("u1", b"u1"):
            raise pickle.UnpicklingError(f"it asks for an array of {kind!r}, not of bytes")
        return np.dtype("u1", align=False, copy=True)

    return make
