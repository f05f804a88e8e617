"""The kind of a source is seen from its names: class folders stay class folders."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import dense

from resnetctl.data.dense.sniff import Dense, listing_of, open_any
from resnetctl.data.reading.source import Source
from resnetctl.errors import DataError


def kind(path: Path) -> str:
    with open_any(path) as source:
        return source.annotated.format if isinstance(source, Dense) else source.kind


def class_folders(folder: Path) -> Path:
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / label / "a.png")
    return folder


def test_every_format_is_recognised(tmp_path: Path) -> None:
    assert kind(dense.voc(tmp_path / "a")) == "VOC XML"
    assert kind(dense.coco(tmp_path / "b")) == "COCO JSON"
    assert kind(tmp_path / "b" / "annotations" / "instances_val.json") == "COCO JSON"
    assert kind(dense.masked(tmp_path / "c")) == "masks"
    assert kind(class_folders(tmp_path / "d")) == "folder"


def test_class_folders_with_a_stray_json_stay_class_folders(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "a")
    (folder / "cat" / "notes.json").write_text('{"images": 3}')
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        for file in folder.rglob("*.*"):
            packed.write(file, file.relative_to(folder))
    for path in (folder, tmp_path / "a.zip"):
        with open_any(path) as source:
            assert isinstance(source, Source)


def test_a_json_of_another_kind_and_other_files_are_errors(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1, 2")
    (tmp_path / "a.md").write_text("text")
    with pytest.raises(DataError, match="lacks one of images, annotations, categories"), open_any(tmp_path / "a.json"):
        pass
    with pytest.raises(DataError, match="neither a folder"), open_any(tmp_path / "a.md"):
        pass
    with pytest.raises(DataError, match="no such file"), open_any(tmp_path / "none"):
        pass


def test_the_listing_tells_whether_a_source_changed(tmp_path: Path) -> None:
    folder = dense.voc(tmp_path / "voc")
    before = listing_of(folder)
    assert listing_of(folder) == before
    (folder / "Annotations" / "p00.xml").write_text(dense.xml("p00.jpg", []))
    assert listing_of(folder) != before


def test_an_archive_is_read_like_its_folder_whatever_it_holds(tmp_path: Path) -> None:
    for name, write in (("voc", dense.voc), ("coco", dense.coco), ("masks", dense.masked)):
        folder = write(tmp_path / name)
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as packed:
            for file in sorted(folder.rglob("*.*")):
                packed.write(file, Path("outer") / file.relative_to(folder))
        with open_any(folder) as plain, open_any(tmp_path / f"{name}.zip") as archive:
            assert isinstance(plain, Dense)
            assert isinstance(archive, Dense)
            one, two = plain.annotated, archive.annotated
        assert (one.format, one.classes, one.problems) == (two.format, two.classes, two.problems)
        assert [scene.split for scene in one.scenes] == [scene.split for scene in two.scenes]


def test_xml_wins_over_json_and_json_over_masks(tmp_path: Path) -> None:
    folder = dense.masked(tmp_path / "all")
    dense.coco(tmp_path / "coco")
    for file in (tmp_path / "coco" / "annotations").iterdir():
        file.rename(folder / file.name)
    assert kind(folder) == "COCO JSON"
    (folder / "a.xml").write_text(dense.xml("a.png", []))
    assert kind(folder) == "VOC XML"


def test_a_json_file_is_read_alone_and_says_its_own_path(tmp_path: Path) -> None:
    folder = dense.coco(tmp_path / "coco")
    path = folder / "annotations" / "instances_val.json"
    path.rename(folder / "val.JSON")
    (folder / "annotations" / "instances_train.json").rename(folder / "train.json")
    with open_any(folder / "train.json") as source:
        assert isinstance(source, Dense)
        assert source.annotated.path == folder / "train.json"
        assert len(source.annotated.scenes) == 8
    assert kind(folder / "val.JSON") == "COCO JSON"


def test_an_empty_folder_and_class_folders_called_images_and_masks(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError), open_any(tmp_path / "none"):
        pass
    for label in ("images", "masks"):
        (tmp_path / "odd" / label).mkdir(parents=True)
    for label, name in (("images", "a"), ("masks", "b")):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "odd" / label / f"{name}.png")
    assert kind(tmp_path / "odd") == "folder", "no mask has the name of an image"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"images": [], "annotations": []}', "\ud7ff", "nul"])
def test_a_json_file_that_is_no_coco_says_what_coco_has(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError) as caught, open_any(tmp_path / "a.json"):
        pass
    assert caught.value.exit_code == 3
    assert str(tmp_path / "a.json") in str(caught.value)
    assert "COCO JSON has images, annotations and categories" in str(caught.value)
