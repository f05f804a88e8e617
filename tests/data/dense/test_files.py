"""Folders and archives give the same files by name; hostile archives are refused."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from support import dense

from resnetctl.data.dense import files as module
from resnetctl.data.dense.files import Files, opened, stem_of, suffix_of
from resnetctl.data.reading.decode import BadImage
from resnetctl.errors import DataError


def test_folder_tar_and_zip_have_the_same_names_and_bytes(tmp_path: Path) -> None:
    folder = dense.voc(tmp_path / "voc")
    (folder / ".hidden.xml").write_text("x")
    (folder / "notes.pdf").write_text("x")
    with tarfile.open(tmp_path / "a.tar", "w") as tar, zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        for file in sorted(folder.rglob("*")):
            tar.add(file, str(file.relative_to(folder)), recursive=False)
            if file.is_file():
                packed.write(file, file.relative_to(folder))
    contents = []
    for path in (folder, tmp_path / "a.tar", tmp_path / "a.zip"):
        with opened(path) as files:
            contents.append({name: files.read(name) for name in sorted(files.paths)})
    assert contents[0] == contents[1] == contents[2]
    assert len(contents[0]) == 12 + 12 + 3


def test_below_gives_images_or_files_with_a_suffix(tmp_path: Path) -> None:
    with opened(dense.voc(tmp_path / "voc")) as files:
        assert len(files.below("JPEGImages/")) == len(files.below("", ".xml")) == 12
        assert files.below("Annotations/") == []


def test_a_missing_file_and_text_in_another_encoding_are_errors(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    with opened(tmp_path) as files, pytest.raises(DataError, match="not UTF-8"):
        files.text("a.txt")
    gone = Files(path=tmp_path, paths={"b.png": tmp_path / "b.png"})
    with pytest.raises(BadImage) as caught:
        gone.read("b.png")
    assert caught.value.where == "b.png"


@pytest.mark.parametrize("name", ["../x.xml", "/etc/x.png", "a/../../x.png"])
def test_names_that_lead_out_of_the_archive_are_refused(tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        info = tarfile.TarInfo(name)
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    with pytest.raises(DataError, match="1 member that cannot be used"), opened(tmp_path / "a.tar"):
        pass


def test_the_listing_changes_with_an_annotation(tmp_path: Path) -> None:
    folder = dense.voc(tmp_path / "voc")
    listings = []
    for text in ("one", "two"):
        (folder / "Annotations" / "p00.xml").write_text(text)
        with opened(folder) as files:
            listings.append(files.listing(files.below("", ".xml")))
    assert listings[0] != listings[1]


def test_stem_and_suffix_of_a_name() -> None:
    assert (stem_of("a/b.c.JPG"), suffix_of("a/b.c.JPG"), stem_of("b")) == ("b.c", ".jpg", "b")


def tarred(path: Path, *members: tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_a_name_that_occurs_twice_is_refused_with_every_other_problem(tmp_path: Path) -> None:
    path = tarred(tmp_path / "a.tar", ("a.xml", b"1"), ("./a.xml", b"2"), ("../b.xml", b"3"), ("c.xml", b"4"))
    with pytest.raises(DataError, match="2 members that cannot be used") as caught, opened(path):
        pass
    assert "'./a.xml': the name occurs twice" in caught.value.problems
    assert any("b.xml" in problem for problem in caught.value.problems)
    assert caught.value.exit_code == 3


def test_links_in_an_archive_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        link = tarfile.TarInfo("a.xml")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(DataError, match="1 member that cannot be used"), opened(tmp_path / "a.tar"):
        pass


def test_an_archive_of_other_files_ends_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OTHERS", 5)
    path = tarred(tmp_path / "a.tar", *((f"{number}.bin", b"") for number in range(9)))
    with pytest.raises(DataError, match="too many members that are not images"), opened(path):
        pass
    pictures = [(f"{number}.png", b"x") for number in range(4)]
    path = tarred(tmp_path / "b.tar", *pictures, *((f"{number}.bin", b"") for number in range(9)))
    with opened(path) as files:
        assert [*files.paths] == [name for name, _ in pictures]


def test_empty_lists_are_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OTHERS", 5)
    path = tarred(tmp_path / "a.tar", ("1.png", b"x"), ("list.txt", b"1"), ("none.txt", b""), ("1.xml", b""))
    with opened(path) as files:
        assert [*files.paths] == ["1.png", "list.txt", "1.xml"]
    path = tarred(tmp_path / "b.tar", *((f"{number}.txt", b"") for number in range(9)))
    with pytest.raises(DataError, match="too many members that are not images"), opened(path):
        pass


def test_what_was_unpacked_is_removed_and_has_no_name_of_a_member(tmp_path: Path) -> None:
    with opened(tarred(tmp_path / "a.tar", ("x/y.xml", b"text"), (".hidden/z.xml", b""))) as files:
        assert files.text("x/y.xml") == "text"
        (path,) = files.paths.values()
        assert path.name.isdigit()
    assert not path.exists()


def test_the_listing_changes_with_a_name_and_a_size_and_not_with_the_place(tmp_path: Path) -> None:
    listings = []
    for folder, name, size in (("a", "p.png", 3), ("b", "p.png", 3), ("c", "p.png", 4), ("d", "q.png", 3)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(b"x" * size)
        with opened(tmp_path / folder) as files:
            listings.append(files.listing([]))
    assert listings[0] == listings[1]
    assert len(set(listings)) == 3
