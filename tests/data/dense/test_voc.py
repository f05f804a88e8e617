"""VOC XML, as tools write it."""

from pathlib import Path

from support import dense

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
