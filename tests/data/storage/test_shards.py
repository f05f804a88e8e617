"""Shards of this disk are opened at once and read at any place."""

from pathlib import Path

import numpy as np
import pytest

from resnetctl.data.storage import shards
from resnetctl.data.storage.shards import LocalShards, shard_path


@pytest.fixture
def index(tmp_path: Path) -> Path:
    path = tmp_path / "train.safetensors"
    for number, data in enumerate((b"abcdef", b"ghi")):
        shard_path(path, number).write_bytes(data)
    return path


@pytest.mark.parametrize("has_pread", [True, False])
def test_bytes_are_read_from_the_shard_and_the_place(
    index: Path, monkeypatch: pytest.MonkeyPatch, has_pread: bool
) -> None:
    if not has_pread:
        monkeypatch.delattr(shards.os, "pread")
    opened = LocalShards(index, [6, 3])
    opened.expect(np.array([1, 0]))
    assert opened.read(0, 3, place=2) == b"cde"
    assert opened.read(1, 3, place=0) == b"ghi"
    assert opened.read(1, 3, place=2) == b"i"
    assert opened.cache_bytes() is None


@pytest.mark.parametrize(
    ("sizes", "message"),
    [([6, 4], "train-00001.bin has 3 bytes instead of 4"), ([6, 3, 1], "train-00002.bin: there is no such file")],
)
def test_a_shard_that_is_not_as_the_index_says_is_refused(index: Path, sizes: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LocalShards(index, sizes)
