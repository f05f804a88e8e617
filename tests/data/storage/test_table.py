"""A table reads back what was written, and refuses other tensors and changed columns."""

from pathlib import Path

import numpy as np
import pytest

from resnetctl.data.storage.table import Tensors, read_table, table_bytes, tensors
from resnetctl.system.safetensors import Layout, header_bytes


def expected(layout: Layout, count: int) -> Tensors:
    return tensors({}, count, has_groups="groups" in layout.tensors, digests=2)


def write(path: Path, *, groups: bool) -> list[np.ndarray]:
    columns = [np.array([4, 2, 9]), *([np.array([0, 0, 2])] if groups else [])]
    layout = Layout.of(tensors({}, 3, has_groups=groups, digests=2), {"note": "x"})
    path.write_bytes(header_bytes(layout) + table_bytes(columns, bytes(range(64))))
    return columns


@pytest.mark.parametrize("groups", [False, True])
def test_a_table_reads_back(tmp_path: Path, groups: bool) -> None:
    path = tmp_path / "train.safetensors"
    columns = write(path, groups=groups)
    table = read_table(path, expected, content="three images")
    assert [values.tolist() for values in table.columns.values()] == [column.tolist() for column in columns]
    assert list(table.columns) == ["labels", "groups"][: len(columns)]
    assert table.digests.tobytes() == bytes(range(64))
    assert table.metadata == {"note": "x"}


def test_other_tensors_and_changed_columns_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "train.safetensors"
    write(path, groups=False)
    with pytest.raises(ValueError, match="not three images"):
        read_table(path, lambda layout, count: {}, content="three images")
    data = bytearray(path.read_bytes())
    data[-32 * 3 - 1] ^= 1  # the last byte of the labels
    path.write_bytes(data)
    with pytest.raises(ValueError, match="changed since they were stored"):
        read_table(path, expected, content="three images")
