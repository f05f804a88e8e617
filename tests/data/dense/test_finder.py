"""Images are found by the names in annotations, wherever the export of a tool put them."""

from pathlib import Path

import pytest

from resnetctl.data.dense.files import Files
from resnetctl.data.dense.finder import ImageFinder, split_of


def finder(*names: str) -> ImageFinder:
    return ImageFinder(Files(path=Path(), paths={name: Path(name) for name in names}))


@pytest.mark.parametrize(
    ("images", "annotation", "name", "found"),
    [
        (["JPEGImages/a.jpg"], "Annotations/a.xml", "a.jpg", "JPEGImages/a.jpg"),
        (["train/a.jpg", "valid/a.jpg"], "valid/a.xml", "a.jpg", "valid/a.jpg"),
        (["o/images/a.png"], "o/labels/a.xml", "a.png", "o/images/a.png"),
        (["x/a.png"], "y/a.xml", "C:\\pictures\\a.png", "x/a.png"),
        (["x/a.png"], "y/a.xml", "a.jpg", "x/a.png"),
        (["x/a.png"], "y/a.xml", "", "x/a.png"),
    ],
)
def test_an_image_is_found(images: list[str], annotation: str, name: str, found: str) -> None:
    assert finder(*images).find(annotation, name) == found


def test_no_image_and_two_images_are_errors() -> None:
    with pytest.raises(ValueError, match=r"its image 'b\.jpg' is missing"):
        finder("a.jpg").find("x.xml", "b.jpg")
    with pytest.raises(ValueError, match=r"is in 2 folders: x/a\.jpg, y/a\.jpg"):
        finder("x/a.jpg", "y/a.jpg").find("z/a.xml", "a.jpg")


def test_images_that_are_named_twice_or_never_are_counted() -> None:
    images = finder("a.jpg", "b.jpg")
    images.find("one.xml", "a.jpg")
    images.find("two.xml", "a.jpg")
    assert images.twice() == ["a.jpg: 2 annotations name this image"]
    assert images.unused() == 1


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train/a.xml", "train"),
        ("annotations/instances_val2017.json", "val"),
        ("valid/_annotations.coco.json", "val"),
        ("images/testing/a.png", "test"),
        ("trainer.json", None),
        ("a.json", None),
    ],
)
def test_folders_and_names_tell_the_split(name: str, split: str | None) -> None:
    assert split_of(name) == split


def test_folders_of_the_caller_come_before_other_places_and_after_the_own() -> None:
    images = finder("annotations/a.png", "images/train/a.png", "images/a.png", "train/a.png", "other/a.png")
    assert images.find("annotations/x.json", "a.png", folders=("train",)) == "annotations/a.png"
    images = finder("images/train/a.png", "images/a.png", "train/a.png", "other/a.png")
    assert images.find("annotations/x.json", "a.png", folders=("train", "images/train")) == "train/a.png"
    images = finder("images/train/a.png", "images/val/a.png")
    assert images.find("annotations/x.json", "a.png", folders=("val", "images/val")) == "images/val/a.png"


@pytest.mark.parametrize("name", ["../a.png", "/etc/a.png", "./a.png", "sub\\..\\a.png", "file:///x/a.png"])
def test_a_name_never_leads_out_of_the_source(name: str) -> None:
    assert finder("x/a.png").find("y/z.xml", name) == "x/a.png"
    with pytest.raises(ValueError, match="is missing"):
        finder("x/b.png").find("y/z.xml", name)


def test_two_images_with_one_stem_are_told_apart_by_the_suffix_only() -> None:
    images = finder("x/a.png", "y/a.jpg")
    assert images.find("z/a.xml", "a.jpg") == "y/a.jpg"
    with pytest.raises(ValueError, match=r"its image 'a\.bmp' is in 2 folders: x/a\.png, y/a\.jpg"):
        images.find("z/a.xml", "a.bmp")
    assert images.unused() == 1


@pytest.mark.parametrize(
    ("name", "split"),
    [("val/train/a.png", "val"), ("Train_images/a.png", "train"), ("x/test-01.xml", "test"), ("a/b/c.png", None)],
)
def test_the_outermost_folder_with_a_split_decides(name: str, split: str | None) -> None:
    assert split_of(name) == split
