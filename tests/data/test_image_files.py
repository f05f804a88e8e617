"""Files, folders and pictures in memory become prepared batches, in order, and bad ones are listed."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.pictures import solid, write_tree

from resnetctl.data import image_files
from resnetctl.data.image_files import listed, prepared_batches, skipped
from resnetctl.data.images import prepare
from resnetctl.data.reading import decode
from resnetctl.data.reading.decode import BadImage
from resnetctl.data.reading.source import Ignored
from resnetctl.hints import Setting
from resnetctl.spec import ImageSpec

SPEC = ImageSpec(size=8)


def colours(count: int) -> dict[str, bytes]:
    return {f"{number}.png": solid((number, 0, 0), (12, 8)) for number in range(count)}


def test_batches_keep_the_order_and_only_the_last_is_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_files, "BATCH", 2)
    root = write_tree(tmp_path / "p", colours(5))
    names = [root / f"{number}.png" for number in (4, 0, 3, 1, 2)]
    batches = list(prepared_batches(names, SPEC, problems=[]))
    assert [pixels.shape for pixels, _ in batches] == [(2, 8, 8, 3), (2, 8, 8, 3), (1, 8, 8, 3)]
    assert [path for _, paths in batches for path in paths] == names
    for pixels, paths in batches:
        assert all(np.array_equal(image, prepare(path, SPEC)) for image, path in zip(pixels, paths, strict=True))


def test_a_bad_file_is_a_problem_and_the_others_are_read(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "p", {**colours(2), "bad.png": b"no image"})
    problems: list[str] = []
    ((pixels, paths),) = prepared_batches([root, root / "gone.png"], SPEC, problems=problems)
    assert [path.name for path in paths] == ["0.png", "1.png"]
    assert len(pixels) == 2
    assert [problem.partition(": ")[0] for problem in problems] == [str(root / "bad.png"), str(root / "gone.png")]


def test_a_picture_can_keep_its_own_size(tmp_path: Path) -> None:
    (file,) = write_tree(tmp_path / "p", colours(1)).iterdir()
    pixels = np.zeros((5, 7, 1), np.uint8)
    decoded = [item.decoded(3) for item in listed([file, pixels, b"no image"], ignored=Counter())]
    assert [image.shape for image in decoded[:2]] == [(8, 12, 3), (5, 7, 3)]
    assert isinstance(decoded[2], BadImage)


def test_a_folder_yields_its_images_sorted_and_counts_the_other_files(tmp_path: Path) -> None:
    files = {"b/2.png": b"", "a.jpg": b"", "b/.hidden.png": b"", "notes.txt": b"", "b/1.PNG": b"", "x.avif": b""}
    root = write_tree(tmp_path / "p", files)
    ignored: Counter[str] = Counter()
    names = [str(item.file.relative_to(root)) for item in listed([root], ignored=ignored) if item.file]
    assert names == ["a.jpg", "b/1.PNG", "b/2.png", "x.avif"]
    assert ignored == {"hidden": 1, ".txt": 1}


def test_few_skipped_files_are_named_and_of_more_the_first(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "p", {"a.png": b"", "b/notes.txt": b"", "z.md": b""})
    few = Ignored()
    assert len(list(listed([root], ignored=few))) == 1
    assert skipped(few) == f"skipped 2 files (.txt: 1, .md: 1): {root / 'b/notes.txt'}, {root / 'z.md'}"
    write_tree(root, {"1.txt": b"", "2.txt": b""})
    many = Ignored()
    assert len(list(listed([root], ignored=many))) == 1
    assert skipped(many) == f"skipped 4 files (.txt: 3, .md: 1), the first is {root / '1.txt'}"


def test_a_folder_without_an_image_is_a_problem(tmp_path: Path) -> None:
    problems: list[str] = []
    assert list(prepared_batches([write_tree(tmp_path / "p", {"notes.txt": b""})], SPEC, problems=problems)) == []
    assert problems == [f"{tmp_path / 'p'}: the folder has no image"]


def test_photos_of_phones_are_skipped_and_counted_unless_the_plugin_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_tree(tmp_path / "p", {"1.heic": b"", "2.HEIC": b"", "a.png": b"", "notes.txt": b""})
    monkeypatch.setattr(decode, "has_heif", lambda: False)
    ignored: Counter[str] = Counter()
    assert [item.file for item in listed([root], ignored=ignored)] == [root / "a.png"]
    monkeypatch.setattr(image_files, "has_heif", lambda: False)
    assert skipped(ignored) == ("skipped 3 files (.heic: 2, .txt: 1); install the package pillow-heif to read HEIC")
    monkeypatch.setattr(decode, "has_heif", lambda: True)
    assert len(list(listed([root], ignored=Counter()))) == 3
    assert skipped({}) == ""
    assert skipped({"hidden": 1}) == "skipped 1 file (hidden: 1)"


def test_pictures_in_memory_are_read_like_the_file(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "p", colours(1))
    data = (root / "0.png").read_bytes()
    image = Image.open(root / "0.png")
    array = np.asarray(image)
    one, *others = listed([root / "0.png", data, image, array, array[..., :1], array[..., 0]], ignored=Counter())
    wanted = prepare(root / "0.png", SPEC)
    assert np.array_equal(one.pixels(SPEC), wanted)
    assert [item.file for item in others] == [None] * 5
    for item in others[:3]:
        assert np.array_equal(item.pixels(SPEC), wanted)
    assert np.array_equal(others[3].pixels(SPEC), others[4].pixels(SPEC))


@pytest.mark.parametrize(
    ("picture", "problem"),
    [
        (np.zeros((4, 4, 3), np.float32), r"an array is uint8 .*, not float32 \(4, 4, 3\)"),
        (np.zeros((4, 4, 2), np.uint8), r"not uint8 \(4, 4, 2\)"),
        (np.full((4, 4, 3), np.nan, np.float32), r"not float32 \(4, 4, 3\): levels are integers 0..255$"),
        (np.zeros((4, 4, 5), np.uint8), r"not uint8 \(4, 4, 5\)$"),
        (np.zeros((3, 9, 8), np.uint8), r"not uint8 \(3, 9, 8\): the channels come last$"),
        (np.zeros((0, 4, 3), np.uint8), r"not uint8 \(0, 4, 3\): it has no pixels$"),
        (b"no image", "it is not a JPEG, PNG"),
        (3, "an image is a path, bytes, a file, a uint8 array or a PIL image, not an int"),
        (Image.new("F", (4, 4)), "32-bit"),
    ],
)
def test_a_picture_that_cannot_be_used_is_a_problem(picture: Any, problem: str) -> None:
    (item,) = listed([picture], ignored=Counter())
    error = item.pixels(SPEC)
    assert isinstance(error, BadImage)
    assert re.search(problem, error.message)


def test_the_limit_of_pixels_is_a_parameter() -> None:
    (item,) = listed([solid((1, 2, 3), (10, 11))], ignored=Counter())
    error = item.pixels(SPEC, max_pixels=109)
    assert isinstance(error, BadImage)
    assert error.message == "10x11 pixels are over the limit of 109"
    assert error.hint == (Setting("max_pixels", 110),)
    assert item.pixels(SPEC, max_pixels=110).shape == (8, 8, 3)
