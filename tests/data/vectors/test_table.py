"""A file of numbers is read as a whole or not at all; every wrong line is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.numbered import table

from resnetctl.data.vectors.table import as_table, read_table
from resnetctl.errors import DataError


def test_a_table_has_a_row_for_each_name_and_leaves_out_labels(tmp_path: Path) -> None:
    rows = [("./x.png", " 1.5", "-2e3", "cat", "train"), ("y/z.png", "0", "7", "dog", "test")]
    found = read_table(table(tmp_path / "n.csv", rows, header="Path,a,b,label,split"))
    assert found.columns == ("a", "b")
    assert found.of("x.png").tolist() == [1.5, -2000.0]
    assert found.of("./y/z.png").tolist() == [0.0, 7.0]
    assert found.values.dtype == np.float32


def test_wanted_columns_are_read_in_their_order_and_others_may_be_text(tmp_path: Path) -> None:
    path = table(tmp_path / "n.csv", [("x.png", 1, "dear", 3)], header="path,a,remark,b")
    assert read_table(path, ["b", "a"]).of("x.png").tolist() == [3.0, 1.0]
    with pytest.raises(DataError, match="the header line lacks 'c'"):
        read_table(path, ["c"])


def test_every_wrong_line_is_in_one_error(tmp_path: Path) -> None:
    rows = [
        ("ok.png", 1, 2),
        ("text.png", 1, "many"),
        ("nan.png", "nan", 2),
        ("inf.png", 1, "-inf"),
        ("large.png", "1e30", 2),
        ("empty.png", "", 2),
        ("", 1, 2),
        ("short.png", 1),
        ("./ok.png", 3, 4),
    ]
    with pytest.raises(DataError, match="some lines cannot be used") as caught:
        read_table(table(tmp_path / "n.csv", rows))
    assert caught.value.exit_code == 3
    assert list(caught.value.problems) == [
        "line 3: 'b' is no number: 'many'",
        "line 4: 'a' is not a number up to 1e+18: 'nan'",
        "line 5: 'b' is not a number up to 1e+18: '-inf'",
        "line 6: 'a' is not a number up to 1e+18: '1e30'",
        "line 7: 'a' is empty",
        "line 8: path is empty",
        "line 9: it has 2 cells, and the header has 3",
        "line 10: 'ok.png' occurs twice",
    ]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("file,a", "needs one column 'path', and has none"),
        ("path,label,split", "no column of numbers besides 'path'"),
        ("path,a,a", "two have the same"),
        ("path,,b", "a column has no name"),
    ],
)
def test_a_header_without_what_is_needed_says_so(tmp_path: Path, header: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_table(table(tmp_path / "n.csv", [("x.png", 1, 2)], header=header))
    assert str(caught.value.where).endswith("n.csv:1")


def test_files_that_are_no_table_are_refused(tmp_path: Path) -> None:
    for name, content, message in (
        ("n.txt", b"path,a", "neither a .csv nor a .npy file"),
        ("n.npy", b"nothing", "cannot be read as .npy"),
        ("n.csv", b"path,a\n", "a header but no lines"),
        ("q.csv", b'path,a\n"x', "cannot be read as CSV"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_table(tmp_path / name)
    with pytest.raises(DataError, match="no such file"):
        read_table(tmp_path / "none.csv")


def test_rows_of_an_array_follow_the_images(tmp_path: Path) -> None:
    np.save(tmp_path / "n.npy", np.arange(6, dtype=np.int16).reshape(3, 2))
    found = read_table(tmp_path / "n.npy")
    assert found.columns == ("0", "1")
    assert found.named(["a.png", "b.png", "c.png"]).of("b.png").tolist() == [2.0, 3.0]
    with pytest.raises(DataError, match="it has 3 rows, and there are 2 images"):
        found.named(["a.png", "b.png"])


def test_pickles_are_not_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "n.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"cannot be read as \.npy"):
        read_table(tmp_path / "n.npy")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, 2.0], "not numbers for"),
        ([["a", "b"]], "not numbers for"),
        ([[1.0, 2.0, 3.0]], "it has 3 columns, and the network reads 2"),
        ([[1.0, float("nan")]], "1 cell without a number"),
    ],
)
def test_arrays_of_another_form_are_refused(values: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        as_table(values, ["a", "b"])
