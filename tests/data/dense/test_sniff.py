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
