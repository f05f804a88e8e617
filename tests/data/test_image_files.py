"""Files and folders become prepared batches, in order, and bad files are listed."""

from pathlib import Path

import numpy as np
import pytest
from support.pictures import solid, write_tree

from resnetctl.data import image_files
from resnetctl.data.image_files import image_paths, prepared_batches
from resnetctl.data.images import prepare
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


def test_a_folder_yields_its_images_sorted_without_hidden_files(tmp_path: Path) -> None:
    files = {"b/2.png": b"", "a.jpg": b"", "b/.hidden.png": b"", "notes.txt": b"", "b/1.png": b""}
    root = write_tree(tmp_path / "p", files)
    names = [str(path.relative_to(root)) for path in image_paths([root], [])]
    assert names == ["a.jpg", "b/1.png", "b/2.png"]


def test_a_folder_without_an_image_is_a_problem(tmp_path: Path) -> None:
    problems: list[str] = []
    assert list(image_paths([write_tree(tmp_path / "p", {"notes.txt": b""})], problems)) == []
    assert problems == [f"{tmp_path / 'p'}: the folder has no image"]
