"""Pickles that would overflow the stack, never end or ask for a refused name are refused before they are read."""

import io
import pickle
import time
from collections import OrderedDict

import pytest

from resnetctl.system import pickles


def checked(data: bytes, **options: object) -> None:
    pickles.check(io.BytesIO(data), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_are_accepted(protocol: int) -> None:
    shared = [1, 2]
    value = {"a": (1, 2.5, "text", None, True), "b": [shared, shared], "c": OrderedDict(x={1, 2}), "d": b"raw"}
    checked(pickle.dumps(value, protocol))


def test_the_file_is_left_behind_the_pickle() -> None:
    file = io.BytesIO(pickle.dumps(1) + pickle.dumps(2))
    pickles.check(file)
    assert pickle.load(file) == 2


def itself() -> list[object]:
    value: list[object] = []
    value.append({"inner": (value,)})
    return value


DEEP = b"\x80\x02)" + b"\x85" * 90_000 + b"."
BACKWARDS = b"\x80\x02" + b"".join(b"]q%c" % n for n in range(100)) + b"".join(
    b"h%ch%ca0" % (n, n + 1) for n in range(99)
) + b"."  # lists that are nested after all of them exist  # fmt: skip


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (DEEP, "nested more than"),
        (BACKWARDS, "nested more than"),
        (b"\x80\x02]" + b"2\x86" * 60 + b".", "stands for more than"),
        (pickle.dumps(itself()), "holds itself"),
        (b"\x80\x02](" + b"K\x01" * 600_000 + b"e.", "instructions"),
        (b"\x80\x02(" + b"]" * 110_000 + b"t.", "containers"),
        (b"\x80\x02}r\xff\xff\xff\xff.", "memo index"),
        (b"\x80\x02h\x07.", "memo index 7 is not set"),
        (b"\x80\x02a.", "empty stack"),
        (b"\x80\x02K\x01K\x01a.", "no container"),
        (b"\x80\x02K\x01", "exhausted before seeing STOP"),
        (b"c__builtin__\nbytearray\n.", r"asks for __builtin__\.bytearray"),
        (b"junk", "not enough data"),
    ],
)
def test_a_hostile_pickle_is_refused(data: bytes, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        checked(data, refused=("bytearray",))


def test_the_check_takes_time_in_proportion_to_the_pickle() -> None:
    def seconds(count: int) -> float:
        data = pickle.dumps([(number,) for number in range(count)])
        times = []
        for _ in range(3):  # the least: other work on the machine may disturb one
            start = time.process_time()
            checked(data)
            times.append(time.process_time() - start)
        return min(times)

    seconds(100)
    assert seconds(40_000) < 60 * seconds(4_000)
