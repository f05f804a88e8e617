"""Folders and archives give the same files by name; hostile archives are refused."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from support import dense

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
