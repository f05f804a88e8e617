"""Tables of several labels: every wrong line is listed in one error."""

from pathlib import Path

import pytest
from support import dense

from resnetctl.data.dense.sniff import Dense, open_any
from resnetctl.data.dense.tags import is_tag_table, read_tags
from resnetctl.data.reading.source import Source
from resnetctl.errors import DataError


def table(folder: Path, *lines: str, header: str = "path,labels,split") -> Path:
    """Write a table beside the pictures of `dense.tagged`."""
    path = dense.tagged(folder)
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_labels_are_divided_by_bars_and_may_be_none(tmp_path: Path) -> None:
    path = table(tmp_path, "000.png,disc | bar,train", "001.png,,train", '002.png,"a, b",test', "")
    files, found = read_tags(path)
    assert found.classes == ("a, b", "bar", "disc")
    assert [scene.tags for scene in found.scenes] == [("disc", "bar"), (), ("a, b",)]
    assert [scene.split for scene in found.scenes] == ["train", "train", "test"]
    assert (found.truth, found.problems) == ("tags", ())
    assert files.read("000.png")[:4] == b"\x89PNG"


def test_the_column_labels_decides_and_one_label_stays_a_class(tmp_path: Path) -> None:
    assert is_tag_table(table(tmp_path / "a", header="\ufeffPath, Labels"))
    one = table(tmp_path / "b", "000.png,bar|disc", "001.png,bar", header="path,label")
    assert not is_tag_table(one)
    assert not is_tag_table(tmp_path)
    with open_any(one) as source:
        assert isinstance(source, Source)
        assert source.classes == ["bar", "bar|disc"] or tuple(source.classes) == ("bar", "bar|disc")
    with open_any(table(tmp_path / "c", "000.png,bar|disc")) as source:
        assert isinstance(source, Dense)


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_lines_may_end_as_on_any_machine(tmp_path: Path, end: str) -> None:
    lines = [name + end for name in ("path,labels", "000.png,bar|disc", "001.png,bar")]
    path = dense.tagged(tmp_path)
    path.write_bytes("".join(lines).encode())
    with open_any(path) as source:
        assert isinstance(source, Dense)
        assert [scene.tags for scene in source.annotated.scenes] == [("bar", "disc"), ("bar",)]
    path.write_bytes("".join(lines).replace("labels", "label").encode())
    assert not is_tag_table(path)


def test_all_wrong_lines_are_one_error_and_nothing_is_stored(tmp_path: Path) -> None:
    lines = ("000.png,bar,train", "000.png,disc,train", "gone.png,bar,train", "001.png,bar||disc,train",
             "002.png,bar|bar,train", "003.png,bar,later", ",bar,train")  # fmt: skip
    path = table(tmp_path / "source", *lines)
    with pytest.raises(DataError, match="6 problems in 1 image with annotations") as caught:
        dense.added(path, tmp_path / "data")
    texts = ("line 3: '000.png' occurs twice", "line 4: file 'gone.png' is missing", "line 5: a label in",
             "line 6: a label in", "line 7: split 'later'", "line 8: path is empty")  # fmt: skip
    for text in texts:
        assert any(problem.startswith(text) for problem in caught.value.problems), text
    assert not (tmp_path / "data/scenes").exists()


def test_a_table_without_a_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no label in 2 images"):
        dense.added(table(tmp_path / "source", "000.png,,train", "001.png,,train"), tmp_path / "data")


def test_groups_are_refused_because_nothing_would_keep_them_in_one_split(tmp_path: Path) -> None:
    path = table(tmp_path / "source", "000.png,bar,p1", "001.png,disc,p1", header="path,labels,group")
    with pytest.raises(DataError) as caught:
        dense.added(path, tmp_path / "data")
    assert "the column 'group' is for one label an image" in caught.value.problems[0]
