"""The reader refuses headers that the library accepts; the library reads the headers that we write."""

import json
import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from resnetctl.errors import DataError, WeightsError
from resnetctl.system import safetensors as layout
from resnetctl.system.safetensors import Layout, digest, header_bytes, read_layout


def blob(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def item(dtype: str = "F32", shape: tuple[Any, ...] = (2,), offsets: tuple[Any, ...] = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def read(path: Path) -> Layout:
    with path.open("rb") as file:
        return read_layout(file, path)


def test_a_file_of_the_library_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    arrays = {"b": np.zeros((2, 3), "f4"), "a": np.zeros((), "i8"), "empty": np.zeros((0, 4), "f2")}
    safetensors.numpy.save_file(arrays, path, metadata={"k": "v"})
    header = read(path)
    assert header.metadata == {"k": "v"}
    assert {name: info.shape for name, info in header.tensors.items()} == {"a": (), "b": (2, 3), "empty": (0, 4)}
    assert header.tensors["b"].dtype == "F32"
    assert header.bytes == 32


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a safetensors file"),
        (b"short", "not a safetensors file"),
        (struct.pack("<Q", 1 << 63) + b"{}", "not a safetensors file"),
        (struct.pack("<Q", layout.MAX_HEADER + 1) + b" " * (layout.MAX_HEADER + 1), "not a safetensors file"),
        (struct.pack("<Q", 100) + b"{}", "truncated: 10 bytes instead of 108"),
        (blob(b"not json"), "header is broken"),
        (blob(b"[" * 100_000), "header is broken"),
        (blob([1]), "header is broken"),
        (blob({"a": item()}), "truncated"),
        (blob({"a": item()}, bytes(7)), "truncated"),
        (blob({"a": item()}, bytes(9)), "longer than its header says"),
        (blob({"a": item("F99")}, bytes(8)), "unknown dtype 'F99'"),
        (blob({"a": item(shape=(3,))}, bytes(8)), "do not match its shape"),
        (blob({"a": item(shape=(-2,))}, bytes(8)), "not a count"),
        (blob({"a": item(shape=(2.0,))}, bytes(8)), "not a count"),
        (blob({"a": item(shape=(2**62, 2**62))}, bytes(8)), "do not match its shape"),
        (blob({"a": item(offsets=(8, 0))}, bytes(8)), "do not match its shape"),
        (blob({"a": item(offsets=(0,))}, bytes(8)), "header is broken"),
        (blob({"a": {"dtype": "F32"}}), "header is broken"),
        (blob({"a": item(), "b": item()}, bytes(8)), "overlap or leave a hole"),
        (blob({"a": item(), "b": item(offsets=(12, 20))}, bytes(20)), "overlap or leave a hole"),
        (blob({"a": item(offsets=(8, 16))}, bytes(16)), "overlap or leave a hole"),
        (blob({"__metadata__": {"k": 1}}), "must hold text"),
        (blob(b'{"a": 1, "a": 2}'), "a key occurs twice"),
        (blob({str(n): item("U8", (0,), (0, 0)) for n in range(layout.MAX_TENSORS + 1)}), "more than 10,000"),
    ],
)
def test_a_bad_header_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message) as caught:
        read(path)
    assert caught.value.where == str(path)
    assert caught.value.exit_code == 3


@given(position=st.integers(0, 200), value=st.integers(0, 255))
@settings(max_examples=150, deadline=None)
def test_any_changed_byte_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int
) -> None:
    content = bytearray(blob({"__metadata__": {"k": "v"}, "a": item(), "b": item(offsets=(8, 16))}, bytes(16)))
    content[position % len(content)] = value
    path = tmp_path_factory.mktemp("fuzz") / "x.safetensors"
    path.write_bytes(content)
    try:
        header = read(path)
    except WeightsError:
        return
    assert header.bytes <= len(content)


@pytest.mark.parametrize("room", [None, 400])
def test_the_library_reads_a_header_that_we_write(room: int | None) -> None:
    plan = Layout.of({"b": ("U8", (3,)), "a": ("I64", (2, 1)), "empty": ("F32", (0, 4))}, {"k": "v"})
    header = header_bytes(plan, room=room)
    assert room is None or len(header) == room
    content = header + b"\1\2\3" + struct.pack("<qq", 4, -5)
    assert read_layout(BytesIO(content), "x") == plan
    arrays = safetensors.numpy.load(content)
    assert {name: array.tolist() for name, array in arrays.items()} == {"b": [1, 2, 3], "a": [[4], [-5]], "empty": []}


def test_a_header_without_metadata_has_no_metadata_key() -> None:
    assert b"__metadata__" not in header_bytes(Layout.of({"a": ("U8", ())}, {}))


def test_a_header_larger_than_its_room_is_refused() -> None:
    with pytest.raises(AssertionError, match="larger than its room"):
        header_bytes(Layout.of({"a": ("U8", (1,))}, {}), room=16)


def test_the_caller_chooses_the_error_and_the_limits() -> None:
    content = blob({"a": item("U8", (0,), (0, 0)), "b": item("U8", (0,), (0, 0))})
    with pytest.raises(DataError, match="2 tensors, more than 1") as caught:
        read_layout(BytesIO(content), "x", error=DataError, max_tensors=1)
    assert caught.value.where == "x"
    with pytest.raises(WeightsError, match="a header of at most 8 bytes"):
        read_layout(BytesIO(content), "x", max_header=8)


def test_read_layout_leaves_the_file_at_the_first_tensor() -> None:
    file = BytesIO(blob({"a": item("U8", (2,), (0, 2))}, b"ab"))
    file.seek(5)
    read_layout(file, "x")
    assert file.read() == b"ab"


@pytest.mark.parametrize(
    "other",
    [
        {"a": torch.tensor([1.0, 3.0])},
        {"b": torch.tensor([1.0, 2.0])},
        {"a": torch.tensor([[1.0, 2.0]])},
        {"a": torch.tensor([1.0, 2.0]).view(torch.int32)},
    ],
)
def test_the_digest_depends_on_values_names_shapes_and_dtypes(other: dict[str, torch.Tensor]) -> None:
    assert digest(other) != digest({"a": torch.tensor([1.0, 2.0])})


def test_the_digest_depends_on_the_text_but_not_on_strides_or_order() -> None:
    first, second = torch.arange(6.0).view(2, 3), torch.ones((), dtype=torch.bool)
    turned = first.t().contiguous().t()
    assert digest({"a": first, "b": second}) == digest({"b": second, "a": turned})
    assert digest({"a": first}, text="card") != digest({"a": first})
