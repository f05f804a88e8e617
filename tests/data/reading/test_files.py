"""Files, folders, archives and patterns are listed in order, one after another; what cannot be listed stops nothing."""

import gc
import os
import tarfile
import tracemalloc
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from support.pictures import solid, write_tar, write_tree, write_zip

from resnetctl.data.reading import files, parallel
from resnetctl.data.reading.decode import BadImage
from resnetctl.data.reading.files import image_items, is_archive, survey
from resnetctl.data.reading.source import Item

FILES = {"b/2.png": solid(2), "a.jpg": solid(1), "b/.hidden.png": b"", "notes.txt": b"", "b/c/1.PNG": solid(3)}


def listed(*paths: Path, ignored: Counter[str] | None = None) -> list[Item]:
    return list(image_items(paths, ignored=Counter() if ignored is None else ignored))


def problem(item: Item) -> str:
    with pytest.raises(BadImage) as caught:
        item.read()
    assert caught.value.where == item.name
    return caught.value.message


def test_a_folder_is_sorted_by_the_parts_of_its_paths(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "p", {**FILES, "b-2.png": b"", "b.png": b""})
    ignored: Counter[str] = Counter()
    names = [Path(item.name) for item in listed(root, ignored=ignored)]
    assert names == sorted(names)
    assert [str(name.relative_to(root)) for name in names] == ["a.jpg", "b/2.png", "b/c/1.PNG", "b-2.png", "b.png"]
    assert ignored == {"hidden": 1, ".txt": 1}


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz", "zip"])
def test_an_archive_gives_its_images_in_its_own_order(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"photos.{kind}"
    if kind == "zip":
        write_zip(path, FILES)
    else:
        write_tar(path, FILES, mode={"tar": "w", "tar.gz": "w:gz", "tar.xz": "w:xz"}[kind])
    ignored: Counter[str] = Counter()
    contents = {item.name: item.read() for item in image_items([path], ignored=ignored)}
    assert contents == {f"{path}/{name}": FILES[name] for name in ("b/2.png", "a.jpg", "b/c/1.PNG")}
    assert ignored == {"hidden": 1, ".txt": 1}
    assert is_archive(path)
    assert survey(image_items([path], ignored=Counter())).total == 3


def test_a_pattern_gives_what_matches(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "p", FILES)
    write_zip(root / "more.zip", {"x.png": b""})

    def names(pattern: str) -> list[str]:
        return [str(Path(item.name).relative_to(root)) for item in listed(root / pattern)]

    assert names("*.jpg") == ["a.jpg"]
    assert names("*") == ["a.jpg", "b/2.png", "b/c/1.PNG", "more.zip/x.png"]
    assert names("**/*") == ["a.jpg", "b/2.png", "b/c/1.PNG", "more.zip/x.png"], "folders would name files twice"
    assert names("b/[0-9].png") == ["b/2.png"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"[1].png": b"", "1.png": b""})
    assert [item.name for item in listed(root / "[1].png")] == [str(root / "[1].png")]


def test_a_survey_names_what_gives_nothing(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "p", {"a.png": b"", "empty/notes.txt": b""})
    found = survey(image_items([root, root / "empty", root / "gone", root / "gone.png"], ignored=Counter()))
    assert found.nothing == (f"{root}/empty: the folder has no image", f"{root}/gone: no such file or folder")
    assert (found.total, found.missing) == (4, ())
    gone = survey(image_items([root / "gone.png", root / "b.png"], ignored=Counter()))
    assert gone.missing == (f"{root}/gone.png: no such file", f"{root}/b.png: no such file")


def test_what_has_no_image_is_an_item_with_a_problem(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "p", {"empty/notes.txt": b""})
    archive = write_zip(root / "none.zip", {"notes.txt": b""})
    paths = (root / "empty", archive, root / "*.jpg", root / "gone.png")
    problems = [problem(item) for item in listed(*paths)]
    assert problems[:3] == ["the folder has no image", "the archive has no image", "no image matches"]
    assert problems[3] == "there is no such file"


def test_a_member_that_leads_out_or_is_a_link_is_a_problem_and_the_others_are_read(tmp_path: Path) -> None:
    link = tarfile.TarInfo("link.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    path = write_tar(tmp_path / "x.tar", {"a.png": b"1", "../b.png": b"2", "c.png": b"3"}, extra=(link,))
    results = {}
    for item in image_items([path], ignored=Counter()):
        try:
            results[item.name] = item.read()
        except BadImage as error:
            results[item.name] = error.message.encode()
    assert results == {
        f"{path}/a.png": b"1", f"{path}/../b.png": b"its name leads out of the archive", f"{path}/c.png": b"3",
        f"{path}/link.png": b"a link to '/etc/passwd'",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_a_damaged_archive_gives_what_comes_before_the_damage(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"x.{kind}"
    files = {f"{number}.png": bytes([number]) * 3000 for number in range(3)}
    if kind == "zip":
        write_zip(path, files, compression=zipfile.ZIP_STORED)
    else:
        write_tar(path, files, mode="w:gz")
    data = bytearray(path.read_bytes())
    path.write_bytes(data[: len(data) // 2] if kind == "tar.gz" else data.replace(b"\x01" * 100, b"\x07" * 100))
    results: list[bytes | str] = []
    for item in image_items([path], ignored=Counter()):
        try:
            results.append(item.read())
        except BadImage as error:
            results.append(error.message)
    if kind == "zip":
        assert (results[0], results[2]) == (files["0.png"], files["2.png"])
    assert any("damaged" in str(result) for result in results)


def test_a_folder_that_cannot_be_read_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_tree(tmp_path / "p", {"a/1.png": b"", "b/1.png": b""})
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if path.name == "a":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    first, second = listed(root)
    assert problem(first) == "the folder cannot be read: Permission denied"
    assert second.name == str(root / "b/1.png")


def test_a_pattern_in_another_case_names_a_match(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "p", {"IMG_1.JPG": b""})
    (item,) = listed(root / "img*.jpg")
    assert problem(item) == f"no image matches, but {root / 'IMG_1.JPG'} in another case does"
    (item,) = listed(root / "[a-c].jpg")
    assert problem(item) == "no image matches"


def test_an_address_is_no_file() -> None:
    (item,) = listed(Path("http://example.org/a.png"))
    assert problem(item) == "addresses are not read: download the image, and name the file"


def test_links_to_nothing_are_problems_and_hide_no_other_file(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "p", {"a.png": b"", "b/c.png": b""})
    (root / "loop.png").symlink_to("loop.png")
    (root / "gone.png").symlink_to("nowhere.png")
    (root / "up").symlink_to(root, target_is_directory=True)
    (root / "link.png").symlink_to("a.png")
    ignored: Counter[str] = Counter()
    items = {Path(item.name).name: item for item in listed(root, ignored=ignored)}
    assert [*items] == ["a.png", "c.png", "gone.png", "link.png", "loop.png"]
    assert problem(items["gone.png"]) == "there is no such file"
    assert problem(items["loop.png"]).startswith("the file cannot be read")
    assert ignored == {"link to a folder": 1}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_a_folder_is_counted_and_not_opened(tmp_path: Path) -> None:
    root, ignored = write_tree(tmp_path / "p", {"a.png": b""}), Counter[str]()
    os.mkfifo(root / "b.png")
    assert [Path(item.name).name for item in listed(root, ignored=ignored)] == ["a.png"]
    assert ignored == {"no plain file": 1}


def test_a_path_that_the_system_refuses_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    first, second = listed(tmp_path / f"{'x' * 300}.png", tmp_path / "a.png")
    assert "name too long" in problem(first)
    assert second.name == str(tmp_path / "a.png")


def test_a_survey_counts_images_and_bytes_without_reading(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "p", {"a.png": b"12", "b.png": b"345"})
    path = write_zip(tmp_path / "x.zip", {"c.png": b"6789"})
    amount = survey(image_items([root, path, tmp_path / "gone"], ignored=Counter()))
    assert (amount.total, amount.size) == (4, 9)


def test_workers_and_the_survey_use_the_sizes_of_one_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_tree(tmp_path / "p", {"a.png": b"12", "b.png": b"345"})
    asked: list[str] = []
    size = files.file_size
    monkeypatch.setattr(files, "file_size", lambda path: (asked.append(path.name), size(path))[1])
    monkeypatch.setattr(parallel, "file_size", files.file_size)
    items = listed(root)
    (chunk,) = parallel._chunks(items, parallel.Square(channels=3, resize=8, fit="crop"))
    assert ([item.size for item, _ in chunk], survey(items).size) == ([2, 3], 5)
    assert asked == ["a.png", "b.png"]


def test_listing_a_large_archive_keeps_memory_flat(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", {f"{number}.png": b"x" * 20_000 for number in range(300)})
    gc.collect()
    tracemalloc.start()
    total = sum(len(item.read()) for item in image_items([path], ignored=Counter()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 6_000_000
    assert peak < 3_000_000
