"""open_source chooses the reader for a path."""

import os
import sys
from pathlib import Path

import pytest
from support.pictures import tree, write_tar, write_tree, write_zip

from resnetctl.data.reading.sniff import open_source
from resnetctl.errors import DataError


def test_each_kind_of_source_is_recognised_by_its_content(tmp_path: Path) -> None:
    files = tree()
    sources = {
        "folder": write_tree(tmp_path / "folder", files),
        "tar": write_tar(tmp_path / "no suffix", files),
        "tar.gz": write_tar(tmp_path / "wrong.zip", files, mode="w:gz"),
        "tar.xz": write_tar(tmp_path / "a.tar.xz", files, mode="w:xz"),
        "zip": write_zip(tmp_path / "a.bin", files),
    }
    for kind, path in sources.items():
        source = open_source(path)
        assert source.kind == kind
        assert {item.name: item.read() for item in source.items()} == files
    (tmp_path / "folder" / "t.csv").write_text("path,label\ntrain/cat/0.png,cat\n")
    assert open_source(tmp_path / "folder" / "t.csv").kind == "table"


def test_a_tilde_is_expanded_to_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_tree(tmp_path / "photos", tree())
    assert open_source(Path("~/photos")).total == 12


@pytest.mark.parametrize("name", ["notes.txt", "image.png", "a.tar.bz2", "a.7z", "empty"])
def test_other_files_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"BZh91AY&SY or something" if name != "empty" else b"")
    with pytest.raises(DataError, match="neither a folder"):
        open_source(path)


def test_open_source_of_a_missing_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file") as caught:
        open_source(tmp_path / "x")
    assert caught.value.where == str(tmp_path / "x")


def test_a_file_without_read_permission_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(b"")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match="Permission denied"):
        open_source(path)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes in folders")
def test_a_named_pipe_is_refused_as_what_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "photos")
    with pytest.raises(DataError, match="not a plain file"):
        open_source(tmp_path / "photos")
