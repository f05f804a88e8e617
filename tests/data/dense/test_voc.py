"""VOC XML, as tools write it."""

from pathlib import Path

import pytest
from support import dense

from resnetctl.data.dense import voc
from resnetctl.data.dense.files import opened
from resnetctl.data.dense.scenes import Annotated
from resnetctl.data.dense.voc import read_voc


def found(folder: Path) -> Annotated:
    with opened(folder) as files:
        return read_voc(files)


def test_corners_are_taken_as_they_stand(tmp_path: Path) -> None:
    scene = found(dense.voc(tmp_path)).scenes[0]
    assert [(*item.corners, item.label) for item in scene.objects] == next(iter(dense.scenes(1)))[2]
    assert (scene.size, scene.where, scene.name) == ((40, 30), "Annotations/p00.xml", "JPEGImages/p00.jpg")


def test_trainval_is_train_where_there_is_no_list_of_train(tmp_path: Path) -> None:
    folder = dense.voc(tmp_path)
    (folder / "ImageSets/Main/train.txt").rename(folder / "ImageSets/Main/trainval.txt")
    assert [scene.split for scene in found(folder).scenes].count("train") == 8


def test_lines_of_lists_may_have_a_second_column(tmp_path: Path) -> None:
    folder = dense.voc(tmp_path)
    (folder / "ImageSets/Main/val.txt").write_text("p08 1\n\np09 -1\n")
    assert [scene.split for scene in found(folder).scenes].count("val") == 2
    assert found(folder).problems == ()


def test_pictures_in_no_list_and_images_without_xml_are_left_out_and_counted(tmp_path: Path) -> None:
    folder = dense.voc(tmp_path)
    (folder / "ImageSets/Main/val.txt").write_text("p08\n")
    (folder / "Annotations/p10.xml").unlink()
    (folder / "ImageSets/Main/test.txt").write_text("p11\n")
    read = found(folder)
    assert len(read.scenes) == 10
    assert read.remarks == ("in no list of ImageSets/Main/: 1 XML file", "images without an XML file, left out: 2")


def test_without_a_size_the_picture_decides(tmp_path: Path) -> None:
    folder = dense.voc(tmp_path)
    file = folder / "Annotations/p00.xml"
    file.write_text(dense.xml("p00.jpg", [(1, 2, 3, 4, "bar")], size=(0, 0)))
    assert found(folder).scenes[0].size is None


def test_a_corner_that_is_no_number_is_a_problem_with_its_object(tmp_path: Path) -> None:
    folder = dense.voc(tmp_path)
    file = folder / "Annotations/p00.xml"
    file.write_text(file.read_text().replace("<xmin>", "<xmin>x", 1))
    assert found(folder).problems[0].startswith("Annotations/p00.xml: object 1 ('bar'): xmin is 'x")


def spoilt(folder: Path, old: str, new: str) -> tuple[str, ...]:
    """The problems after a change of the first XML file."""
    file = dense.voc(folder) / "Annotations/p00.xml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    return found(folder).problems


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("<width>40", "<width>inf", "its size is 'inf', not a number of pixels"),
        ("<width>40", "<width>nan", "its size is 'nan', not a number of pixels"),
        ("<width>40", "<width>40.5", "its size is '40.5', not a number of pixels"),
        ("<height>30", "<height>1e999", "its size is '1e999', not a number of pixels"),
        ("<height>30", "<height>tall", "its size is 'tall', not a number"),
        ("<ymax>", "<ymax>" + "9" * 30 + "x", "object 1 ('bar'): ymax is '99999999999999999999', not a number"),
        ("<bndbox>", "<box>", "it is not XML"),
        ("<name>bar</name>", "<name>  </name>", "object 1 has no class name"),
        ("<name>bar</name>", "", "object 1 has no class name"),
        ("<filename>p00.jpg", "<filename>other.jpg", "its image 'other.jpg' is missing"),
    ],
)
def test_what_cannot_be_read_is_one_problem_with_file_and_words(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    (line,) = spoilt(tmp_path, old, new)
    assert line.startswith(f"Annotations/p00.xml: {problem}")


def test_every_object_of_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    file = dense.voc(tmp_path) / "Annotations/p00.xml"
    text = file.read_text().replace("<xmin>", "<xmin>x").replace("<width>40", "<width>wide")
    file.write_text(text.replace("p00.jpg", "gone.jpg"))
    read = found(tmp_path)
    assert [line.split(": ", 1)[1].split(" is ")[0] for line in read.problems] == [
        "its image 'gone.jpg'",
        "its size",
        "object 1 ('bar'): xmin",
        "object 2 ('disc'): xmin",
    ]
    assert not read.scenes[0].image_exists


def test_an_object_without_a_box_is_a_problem_with_its_class(tmp_path: Path) -> None:
    file = dense.voc(tmp_path) / "Annotations/p00.xml"
    file.write_text(file.read_text().replace("bndbox>", "polygon>"))
    assert found(tmp_path).problems == (
        "Annotations/p00.xml: object 1 ('bar') has no bndbox",
        "Annotations/p00.xml: object 2 ('disc') has no bndbox",
    )


def test_a_size_with_a_decimal_point_is_whole(tmp_path: Path) -> None:
    assert spoilt(tmp_path, "<width>40<", "<width>40.0<") == ()
    assert found(tmp_path).scenes[0].size == (40, 30)


def test_a_file_in_another_encoding_is_a_problem_and_the_others_are_read(tmp_path: Path) -> None:
    file = dense.voc(tmp_path) / "Annotations/p00.xml"
    file.write_bytes(b"\xff\xfe" + file.read_text().encode("utf-16-le"))
    read = found(tmp_path)
    assert read.problems[0].startswith("Annotations/p00.xml: it is not UTF-8 text")
    assert len(read.scenes) == 11


def test_a_mark_of_utf8_before_the_text_is_no_part_of_it(tmp_path: Path) -> None:
    file = dense.voc(tmp_path) / "Annotations/p00.xml"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert found(tmp_path).problems == ()


def test_a_file_that_is_too_large_is_refused_before_it_is_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = dense.voc(tmp_path)
    longest = max(len(file.read_text()) for file in folder.glob("Annotations/*"))
    monkeypatch.setattr(voc, "MAX_XML", longest)
    assert found(folder).problems == ()
    monkeypatch.setattr(voc, "MAX_XML", longest - 1)
    assert "it is too large" in found(folder).problems[0]


def test_two_files_that_name_one_image_are_a_problem(tmp_path: Path) -> None:
    assert spoilt(tmp_path, "p00.jpg", "p01.jpg") == ("JPEGImages/p01.jpg: 2 annotations name this image",)


def test_without_lists_folders_give_the_splits_and_xml_lies_beside_its_image(tmp_path: Path) -> None:
    flat = dense.voc(tmp_path / "flat")
    for split, number in (("train", 0), ("valid", 1)):
        folder = tmp_path / "source" / split
        folder.mkdir(parents=True)
        (flat / f"JPEGImages/p{number:02d}.jpg").rename(folder / f"p{number:02d}.jpg")
        (flat / f"Annotations/p{number:02d}.xml").rename(folder / f"p{number:02d}.xml")
    read = found(tmp_path / "source")
    assert [(scene.name, scene.split) for scene in read.scenes] == [
        ("train/p00.jpg", "train"),
        ("valid/p01.jpg", "val"),
    ]
    assert read.problems == ()
