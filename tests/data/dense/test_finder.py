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
