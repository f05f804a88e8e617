"""Files move into folders of their classes; none is replaced, and no class leads out of the folder."""

from collections import Counter
from pathlib import Path

import pytest
from support.pictures import write_tree, write_zip

from resnetctl.data.reading.files import image_items
from resnetctl.errors import UsageError
from resnetctl.tasks.predictions.moving import Mover

CLASSES = ("cat", "dog")


def mover(folder: Path, *images: Path, classes: tuple[str, ...] = CLASSES) -> Mover:
    return Mover(folder, classes, images=images)


def test_a_file_moves_into_the_folder_of_its_class(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "in", {"a.jpg": b"1"})
    place = mover(tmp_path / "out").move(root / "a.jpg", "cat")
    assert place == tmp_path / "out/cat/a.jpg"
    assert place.read_bytes() == b"1"
    assert not (root / "a.jpg").exists()


def test_no_file_is_replaced(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"x/a.jpg": b"1", "y/a.jpg": b"2", "out/cat/a.jpg": b"old"})
    move = mover(root / "out").move
    assert [move(root / f"{name}/a.jpg", "cat").name for name in "xy"] == ["a-2.jpg", "a-3.jpg"]
    assert [(root / "out/cat" / name).read_bytes() for name in ("a.jpg", "a-2.jpg", "a-3.jpg")] == [b"old", b"1", b"2"]


def test_links_and_files_in_their_own_folder_stay(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"a.jpg": b"1", "out/cat/b.jpg": b"2"})
    (root / "link.jpg").symlink_to("a.jpg")
    moving = mover(root / "out")
    for file in (root / "link.jpg", root / "out/cat/b.jpg"):
        assert moving.move(file, "cat") == file
        assert file.exists()
    (left,) = moving.told()
    assert left.startswith("2 files not moved")
    moving.move(root / "a.jpg", "cat")
    assert moving.told() == [f"moved 1 file into folders of {root / 'out'}", left]
    assert mover(root / "out").told() == []


@pytest.mark.parametrize("name", ["", ".", "..", "../out", "a/b", "a\\b", "a\0b", "a\nb", "x" * 300])
def test_a_class_that_cannot_be_a_folder_is_refused_before_the_first_move(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a folder"):
        mover(tmp_path / "out", classes=("cat", name))
    assert not (tmp_path / "out").exists()


def test_the_images_of_an_archive_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip", {"a.png": b""})
    for asked in (path, tmp_path / "*.zip"):
        with pytest.raises(UsageError, match="archive cannot be moved"):
            mover(tmp_path / "out", asked)


def test_a_folder_is_not_sorted_into_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its images would be taken for ones that were moved before, and nothing would happen."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="the images are in the folder that they would move to"):
        mover(tmp_path, Path())


def test_files_that_were_moved_before_are_left_out(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "p", {"a.jpg": b"", "sorted/cat/b.jpg": b"", "sorted-too/c.jpg": b""})

    def names(*paths: Path) -> list[str]:
        items = mover(root / "sorted", *paths).outside(image_items(paths, ignored=Counter()))
        return [Path(item.name).name for item in items]

    assert names(root) == ["a.jpg", "c.jpg"]
    assert names(root / "sorted/cat") == ["b.jpg"], "asked for by name"
