"""Read the pickled batches of CIFAR without giving a pickle any power.

A pickle is a program: it names functions and calls them. A pickled array of bytes needs three names. Here each gets a
stand-in that can only make an array of uint8. Every other name is refused, and nothing is imported for a pickle.
"""

import io
import pickle
import pickletools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from resnetctl.errors import DataError

if TYPE_CHECKING:
    import numpy as np

MAX_MEMO = 1_000_000  # an index in the memo makes the C unpickler allocate and touch that many slots
MEMO_OPCODES = ("PUT", "BINPUT", "LONG_BINPUT")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return a stand-in, new for each call: a pickle can set attributes on it, which must not stay."""
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
    """Return the dictionary in the pickle `data`, with text keys. Values: arrays of uint8, lists, numbers, bytes.

    Raises:
        DataError: it is not such a dictionary, is damaged, or asks for anything but such an array.
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
    """`numpy.core.multiarray._reconstruct`: an empty array; the next instruction of the pickle sets its content."""
    import numpy as np

    return lambda *_: np.empty(0, np.uint8)


def _uint8_only() -> Callable[..., "np.dtype[Any]"]:
    """`numpy.dtype`: always a copy, because the pickle changes its state."""
    import numpy as np

    def make(kind: object, *_: object) -> "np.dtype[Any]":
        if kind not in ("u1", b"u1"):
            raise pickle.UnpicklingError(f"it asks for an array of {kind!r}, not of bytes")
        return np.dtype("u1", align=False, copy=True)

    return make
