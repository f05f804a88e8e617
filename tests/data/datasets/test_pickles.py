import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetctl.data.datasets.pickles import load_table
from resnetctl.errors import DataError

# A pickled array as Python 2 wrote it, like the published archives: 8-bit strings, `align` as a number.
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
DTYPE = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"


def python2(pixels: np.ndarray[Any, Any], labels: list[int], key: bytes = b"labels") -> bytes:
    """Return a batch in the format of the published ones."""
    shape = struct.pack("<BiBi", ord("J"), pixels.shape[0], ord("J"), pixels.shape[1])
    raw = pixels.tobytes()
    content = b"(K\x01(" + shape + b"t" + DTYPE + b"\x89T" + struct.pack("<i", len(raw)) + raw + b"tb"
    listed = b"](" + b"".join(b"J" + struct.pack("<i", label) for label in labels) + b"e"
    name = b"U" + bytes([len(key)]) + key
    return b"\x80\x02}(U\x0bbatch_labelU\x0ftraining batch U\x04data" + ARRAY + content + name + listed + b"u."


def test_a_batch_pickled_by_python_2_is_read() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 12)
    table = load_table(python2(pixels, [3, 7]), where="x")
    np.testing.assert_array_equal(table["data"], pixels)
    assert table["data"].dtype == np.uint8
    assert table["labels"] == [3, 7]
    assert table["batch_label"] == b"training batch "


@pytest.mark.parametrize("protocol", [3, 4])
def test_a_batch_pickled_by_python_3_is_read(protocol: int) -> None:
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    table = load_table(pickle.dumps({"data": pixels, "labels": [1, 2]}, protocol), where="x")
    np.testing.assert_array_equal(table["data"], pixels)


class Call:
    """An object that is pickled as a call of `function(*arguments)`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def hostile(canary: str) -> dict[str, bytes]:
    """Return pickles that create the file `canary` if their code runs, each in another way."""
    touch = f"open({canary!r}, 'w').close()"
    argument = touch.encode()
    return {
        "reduce os.system": pickle.dumps(Call(os.system, f"touch {canary}")),
        "reduce builtins.exec": pickle.dumps({"data": Call(exec, touch)}),
        "reduce builtins.eval, protocol 0": pickle.dumps(Call(eval, f"exec({touch!r})"), 0),
        "inst": b"(S'touch " + canary.encode() + b"'\nios\nsystem\n.",
        "obj": b"\x80\x02(c__builtin__\nexec\nT" + struct.pack("<i", len(argument)) + argument + b"o.",
        "stack global": b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x8c"
        + bytes([len(canary) + 6])
        + b"touch "
        + canary.encode()
        + b"\x85R.",
        "getattr chain": pickle.dumps(Call(getattr, Call(__import__, "os"), "system")),
        "nested loads": pickle.dumps(Call(pickle.loads, pickle.dumps(Call(exec, touch)))),
        "newobj subprocess": b"\x80\x02csubprocess\nPopen\n(]X\x05\x00\x00\x00touchaX"
        + struct.pack("<i", len(canary))
        + canary.encode()
        + b"at\x81.",
        "numpy's own exec": b"cnumpy.testing._private.utils\nrunstring\n(V" + argument + b"\n}tR.",
        "dotted name": b"\x80\x04\x8c\x05numpy\x94\x8c\x0edtype.__init__\x94\x93.",
        "persistent id": b"Pos\n.",
    }


@pytest.mark.parametrize("name", list(hostile("")))
def test_hostile_pickles_run_nothing(name: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    with pytest.raises(DataError, match=r"refused.*not allowed") as raised:
        load_table(hostile(str(canary))[name], where="data_batch_1")
    assert not canary.exists()
    assert raised.value.where == "data_batch_1"


@pytest.mark.parametrize("name", ["reduce os.system", "inst", "obj", "stack global", "nested loads"])
def test_hostile_pickles_create_the_canary_in_a_plain_unpickler(name: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    pickle.loads(hostile(str(canary))[name])
    assert canary.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x02",
        b"no pickle",
        pickle.dumps([1, 2]),
        pickle.dumps({"data": np.arange(3.0)}),  # not bytes
        pickle.dumps({"data": np.array([{}], dtype=object)}),
        b"cnumpy\nndarray\n(J\xff\xff\xff\x7ftR.",  # an array of 2 GiB from a few bytes
        b"\x80\x02}r\xff\xff\xff\xff.",  # a memo of 2^32 slots
        b"(" * 100_000 + b"l" * 100_000 + b".",
    ],
)
def test_other_bytes_are_a_data_error(data: bytes) -> None:
    with pytest.raises(DataError):
        load_table(data, where="x")


def test_a_pickle_cannot_change_numpy_or_the_stand_ins() -> None:
    meddling = DTYPE[: DTYPE.index(b"(K\x03")] + b"(K\x03U\x01>NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb."
    with pytest.raises(DataError):
        load_table(meddling, where="x")
    assert np.dtype("u1").byteorder == "|"
    with pytest.raises(DataError):
        load_table(b"cnumpy\ndtype\nN}U\x0c__defaults__)s\x86b.", where="x")
    assert load_table(python2(np.zeros((1, 2), np.uint8), [0]), where="x")["labels"] == [0]


def test_a_pickle_cannot_give_its_type_a_structure() -> None:
    fields = DTYPE[: DTYPE.index(b"(K\x03")] + b"(K\x03U\x01|NU\x01x}J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb."
    with pytest.raises(DataError, match="changes the type"):
        load_table(fields, where="x")


@pytest.mark.parametrize("key", [b")" + b"\x85" * 90_000, b"N" + b"2\x86" * 60])
def test_a_key_of_nested_tuples_is_refused(key: bytes) -> None:
    with pytest.raises(DataError, match=r"nested more than|stands for more than"):
        load_table(b"\x80\x02}(" + key + b"K\x01u.", where="x")


@given(data=st.data())
def test_a_damaged_batch_is_refused_or_plain_data(data: st.DataObject) -> None:
    good = bytearray(python2(np.arange(6, dtype=np.uint8).reshape(2, 3), [1, 2]))
    for _ in range(data.draw(st.integers(1, 3))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        table = load_table(bytes(good), where="x")
    except DataError:
        return
    assert all(
        isinstance(value, int | float | bytes | str | list | tuple | np.ndarray | None | dict | bool)
        for value in table.values()
    )
