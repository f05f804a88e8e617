"""CSV files are read in order, and all wrong lines are listed."""

from pathlib import Path

import pytest
from support.pictures import grey, write_tree

from resnetctl.data.reading.table import open_table
from resnetctl.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "t", {f"{name}.png": grey(value) for value, name in enumerate("abcd")})


def table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "labels.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_lines_keep_their_order(folder: Path) -> None:
    source = open_table(table(folder, "path,label\nc.png,x\na.png,y\n\nb.png,x\n"))
    items = list(source.items())
    assert [(item.name, item.split, item.label) for item in items] == [
        ("c.png", None, "x"), ("a.png", None, "y"), ("b.png", None, "x")
    ]  # fmt: skip
    assert [item.read() for item in items] == [grey(2), grey(0), grey(1)]
    assert (source.kind, source.total, source.classes) == ("table", 3, ("x", "y"))


def test_columns_may_have_any_order_and_case(folder: Path) -> None:
    source = open_table(table(folder, "Split, LABEL ,extra,Path\r\ntrain,x,1,a.png\r\ntest,x,,b.png\r\n"))
    assert dict(source.counts) == {("train", "x"): 1, ("test", "x"): 1}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_is_ignored(folder: Path, encoding: str) -> None:
    assert open_table(table(folder, "path,label\na.png,é\n", encoding)).classes == ("é",)


def test_a_group_column_names_what_stays_together(folder: Path) -> None:
    source = open_table(table(folder, "path,label,group\na.png,x,p1\nb.png,y,p1\nc.png,x,\n"))
    assert [item.group for item in source.items()] == ["p1", "p1", ""]
    assert source.has_groups
    plain = open_table(table(folder, "path,label,group\na.png,x,\nb.png,y,\nc.png,x,\n"))
    assert not plain.has_groups
    assert plain.listing != source.listing
    assert plain.listing == open_table(table(folder, "path,label\na.png,x\nb.png,y\nc.png,x\n")).listing


def test_quoted_names_may_have_commas_and_newlines(folder: Path) -> None:
    write_tree(folder, {'we, "ird\n.png': grey(9)})
    source = open_table(table(folder, 'path,label\n"we, ""ird\n.png","a, b"\n'))
    (item,) = source.items()
    assert (item.label, item.read()) == ("a, b", grey(9))


def test_paths_may_lead_beside_and_above_the_file(folder: Path) -> None:
    write_tree(folder.parent, {"other/z.png": grey(7)})
    absolute = folder / "a.png"
    source = open_table(table(folder, f"path,label\n../other/z.png,x\n{absolute},x\n"))
    assert [item.read() for item in source.items()] == [grey(7), grey(0)]


def test_all_wrong_lines_are_listed(folder: Path) -> None:
    path = table(
        folder,
        "path,label,split\na.png,x,train\nnone.png,x,train\n,x,train\nb.png,,train\nc.png,x,tset\na.png,y,train\nd.png,x,\n",
    )
    with pytest.raises(DataError, match="lines cannot be used") as caught:
        open_table(path)
    assert caught.value.where == str(path)
    assert caught.value.problems == (
        "line 3: file 'none.png' is missing",
        "line 4: path or label is empty",
        "line 5: path or label is empty",
        "line 6: split 'tset' is not train, val or test",
        "line 7: 'a.png' occurs twice",
        "some lines have a split and some have none",
    )


@pytest.mark.parametrize("text", ["", "a.png,x\n", "path\na.png\n", "file,class\n"])
def test_a_wrong_header_is_refused(folder: Path, text: str) -> None:
    path = table(folder, text)
    with pytest.raises(DataError, match="the header line is") as caught:
        open_table(path)
    assert caught.value.where == f"{path}:1"
    assert caught.value.hint == ("expected: path,label[,split][,group]",)


def test_a_table_without_lines_is_an_error(folder: Path) -> None:
    with pytest.raises(DataError) as caught:
        open_table(table(folder, "path,label\n"))
    assert caught.value.problems == ("the file has a header but no lines",)


@pytest.mark.parametrize("text", ['path,label\n"a.png,x\n', 'path,label\n"a"b,x\n'])
def test_broken_quotes_are_refused(folder: Path, text: str) -> None:
    with pytest.raises(DataError, match="as CSV"):
        open_table(table(folder, text))


def test_relabelling_changes_the_listing(folder: Path) -> None:
    first = open_table(table(folder, "path,label\na.png,x\nb.png,y\n")).listing
    assert open_table(table(folder, "path,label\na.png,y\nb.png,x\n")).listing != first


def test_a_table_that_is_not_text_is_an_error(folder: Path) -> None:
    with pytest.raises(DataError, match="lines"):
        open_table(table(folder, "path,label\n\0\udcff.png,x\n".replace("\udcff", "ÿ"), "latin-1"))
