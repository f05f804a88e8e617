"""Folders on disk are read in a fixed order, with odd names and links."""

import os
from pathlib import Path

import pytest
from support.pictures import grey, solid, write_tree

from resnetctl.data.reading import decode
from resnetctl.data.reading.decode import BadImage
from resnetctl.data.reading.folder import open_folder
from resnetctl.data.reading.source import Source, read_file
from resnetctl.errors import DataError

ODD = [
    "with space.png", "-dash.png", "new\nline.png", "quo'te\".png", "写真.png", "e\u0301.png", "\u00e9.png",
    os.fsdecode(b"\xff\xfe.png"), "x" * 251 + ".png", "Case.png", "case.png", "CON.png", "dot..png",
]  # fmt: skip


def names(source: Source) -> list[str]:
    return [item.name for item in source.items()]


def test_images_are_sorted_by_the_bytes_of_their_names(tmp_path: Path) -> None:
    root = write_tree(
        tmp_path / "p", {name: solid() for name in ("b/2.png", "b/10.png", "a/x.png", "B/1.png", "b/A.png")}
    )
    source = open_folder(root)
    assert names(source) == ["B/1.png", "a/x.png", "b/10.png", "b/2.png", "b/A.png"]
    assert names(source) == names(source)
    assert source.kind == "folder"
    item = next(source.items())
    assert (item.split, item.label, item.read()) == (None, "B", solid())


def test_odd_names_are_read_and_sorted(tmp_path: Path) -> None:
    root = tmp_path / "p"
    (root / "写真").mkdir(parents=True)
    written = []
    for name in ODD:
        try:
            (root / "写真" / name).write_bytes(solid())
        except OSError:  # the file system refuses this name
            continue
        written.append(name)
    listed = names(open_folder(root))
    assert sorted(listed, key=os.fsencode) == sorted((f"写真/{name}" for name in set(written)), key=os.fsencode)
    assert listed == sorted(listed, key=os.fsencode)
    assert len(listed) >= 11


def test_splits_are_recognised_and_other_files_counted(tmp_path: Path) -> None:
    files = {
        "train/a/1.png": solid(),
        "test/a/1.png": solid(),
        "train/a/notes.txt": b"",
        ".DS_Store": b"",
        ".x/a/1.png": b"",
    }
    source = open_folder(write_tree(tmp_path / "p", files))
    assert source.splits == ("train", "test")
    assert source.ignored == {".txt": 1, "hidden": 1}  # hidden folders are not entered


def test_links_are_followed_and_loops_of_links_are_not(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "p", {"a/1.png": grey(1), "b/1.png": grey(2)})
    elsewhere = write_tree(tmp_path / "elsewhere", {"9.png": grey(9)})
    (root / "a" / "2.png").symlink_to(elsewhere / "9.png")
    (root / "c").symlink_to(elsewhere)
    (root / "a" / "loop").symlink_to(root)
    (root / "self").symlink_to("self")
    source = open_folder(root)
    contents = {item.name: item.read() for item in source.items()}
    assert contents == {"a/1.png": grey(1), "a/2.png": grey(9), "b/1.png": grey(2), "c/9.png": grey(9)}


def test_unreadable_files_are_bad_images(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "p", {"a/1.png": solid()})
    (root / "a" / "dangling.png").symlink_to("nowhere")
    os.mkfifo(root / "a" / "pipe.png")
    reasons = {}
    for item in open_folder(root).items():
        try:
            item.read()
        except BadImage as error:
            reasons[item.name] = (error.message, error.where)
    assert reasons == {
        "a/dangling.png": ("there is no such file", str(root / "a/dangling.png")),
        "a/pipe.png": ("this is not a plain file", str(root / "a/pipe.png")),
    }


def test_a_large_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"")
    os.truncate(path, decode.MAX_BYTES + 1)
    with pytest.raises(BadImage, match="over 128 MiB"):
        read_file(path)


def test_a_folder_without_read_permission_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_tree(tmp_path / "p", {"a/1.png": solid()})

    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match="Permission denied"):
        open_folder(root)


def test_empty_class_folders_are_listed(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "p", {"a/1.png": solid(), "b/1.png": solid()})
    (root / "c").mkdir()
    assert open_folder(root).empty == ("c",)


def test_the_listing_changes_with_names_and_sizes(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "p", {"a/1.png": b"12", "b/1.png": b"34"})
    first = open_folder(root).listing
    (root / "a/1.png").write_bytes(b"99")
    assert open_folder(root).listing == first
    (root / "a/1.png").write_bytes(b"999")
    assert open_folder(root).listing != first
