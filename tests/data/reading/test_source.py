"""The layout tells splits, classes and outer folders apart."""

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetctl.data.reading.decode import SUFFIXES
from resnetctl.data.reading.source import (
    Layout,
    Seen,
    Source,
    Survey,
    clean,
    find_layout,
    is_hidden,
    why_ignored,
)
from resnetctl.errors import DataError


def survey(*names: str, folders: tuple[str, ...] = ()) -> Source:
    first_pass = Survey(Path("src"), "folder")
    for folder in folders:
        first_pass.see_folder(tuple(folder.split("/")))
    for name in names:
        first_pass.see_file(tuple(name.split("/")), len(name))
    return first_pass.source(lambda layout: (item for item in ()))


def places(*names: str) -> dict[tuple[str | None, str], int]:
    return dict(survey(*names).counts)


def test_class_folders_become_classes() -> None:
    assert places("cat/1.jpg", "dog/1.jpg", "dog/2.jpg") == {(None, "cat"): 1, (None, "dog"): 2}


def test_split_folders_become_splits() -> None:
    source = survey("train/cat/1.jpg", "val/cat/1.jpg", "test/dog/1.jpg")
    assert dict(source.counts) == {("train", "cat"): 1, ("val", "cat"): 1, ("test", "dog"): 1}
    assert source.splits == ("train", "val", "test")
    assert source.classes == ("cat", "dog")  # the union over the splits
    assert source.total == 3


def test_common_other_names_of_splits_are_recognised() -> None:
    counts = places("Training/a/1.png", "validation/a/1.png", "valid/b/1.png", "testing/a/1.png")
    assert counts == {("train", "a"): 1, ("val", "a"): 1, ("val", "b"): 1, ("test", "a"): 1}


@pytest.mark.parametrize("wrapper", ["photos", "my.data", "写真"])
def test_one_wrapping_folder_is_stripped(wrapper: str) -> None:
    assert places(f"{wrapper}/cat/1.jpg", f"{wrapper}/dog/1.jpg") == {(None, "cat"): 1, (None, "dog"): 1}
    assert places(f"{wrapper}/train/cat/1.jpg", f"{wrapper}/test/cat/1.jpg") == {
        ("train", "cat"): 1,
        ("test", "cat"): 1,
    }


def test_nested_wrapping_folders_are_stripped() -> None:
    assert places("home/me/cat/1.jpg", "home/me/dog/1.jpg") == {(None, "cat"): 1, (None, "dog"): 1}
    assert places("a/b/train/cat/1.jpg", "a/b/val/cat/1.jpg") == {("train", "cat"): 1, ("val", "cat"): 1}
    assert survey("a/b/cat/1.jpg", "a/b/dog/1.jpg", folders=("a/b/cow",)).empty == ("a/b/cow",)


def test_a_single_class_folder_is_not_stripped() -> None:
    assert places("cat/1.jpg", "cat/2.jpg") == {(None, "cat"): 2}
    assert places("cat/1.jpg", "cat/2.jpg", "cat/more/3.jpg") == {(None, "cat"): 3}


def test_train_alone_is_a_split() -> None:
    assert survey("train/cat/1.jpg", "train/dog/1.jpg").splits == ("train",)


def test_deeper_folders_belong_to_the_class() -> None:
    assert places("cat/a/b/1.jpg", "dog/1.jpg") == {(None, "cat"): 1, (None, "dog"): 1}


def test_trains_may_be_the_name_of_a_class() -> None:
    assert places("bus/1.jpg", "train/1.jpg", "car/1.jpg") == {(None, name): 1 for name in ("bus", "car", "train")}


def test_another_folder_beside_a_split_is_an_error() -> None:
    with pytest.raises(DataError, match="'test' looks like a split, but 'extra' beside it does not"):
        survey("train/cat/1.jpg", "test/cat/1.jpg", "extra/dog/1.jpg")


@pytest.mark.parametrize("names", [(), ("1.jpg", "2.jpg"), ("notes.txt",)])
def test_no_classes_is_an_error_that_shows_the_layout(names: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match=r"no images|no class folders") as caught:
        survey(*names)
    assert any("CLASS/image.jpg" in line for line in caught.value.hint)


def test_ignored_files_are_counted() -> None:
    source = survey(
        "cat/1.jpg", "cat/._1.jpg", ".git/x.jpg", "__MACOSX/cat/2.jpg", "cat/Thumbs.db", "README", "a.HEIC", "logo.png"
    )
    assert source.total == 1
    assert source.ignored == {".db": 1, ".heic": 1, "hidden": 3, "no suffix": 1, "outside the class folders": 1}


def test_empty_class_folders_are_listed() -> None:
    source = survey(
        "p/train/cat/1.jpg", "p/test/cat/1.jpg",
        folders=("p", "p/train", "p/train/cat", "p/train/dog", "p/test/cat", "p/train/cat/deep", ".git", "p/.x"),
    )  # fmt: skip
    assert source.empty == ("p/train/dog",)


def test_classes_are_sorted_by_their_bytes() -> None:
    assert survey("b/1.jpg", "B/1.jpg", "é/1.jpg", "10/1.jpg", "9/1.jpg").classes == ("10", "9", "B", "b", "é")


def test_the_listing_changes_with_names_and_sizes() -> None:
    listings = {survey(*names).listing for names in (("a/1.jpg",), ("a/2.jpg",), ("a/1.jpg", "a/2.jpg"))}
    assert len(listings) == 3
    assert survey("a/1.jpg").listing == survey("a/1.jpg", "a/ignored.txt").listing


def test_a_file_outside_the_class_folders_has_no_place() -> None:
    assert Layout(strip=1, has_splits=True).place(("p", "train")) is None
    assert Layout(strip=0, has_splits=False).place(()) is None
    assert find_layout({("a",): 1}, Path("x")) == Layout(strip=0, has_splits=False)


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_suffixes_of_images_may_have_any_case(suffix: str) -> None:
    assert why_ignored(("a", "x" + suffix)) == ""
    assert why_ignored(("a", "x" + suffix.upper())) == ""


def test_is_hidden_checks_every_part() -> None:
    assert is_hidden((".ipynb_checkpoints", "1.jpg"))
    assert not is_hidden(("a.b", "1.jpg"))


@pytest.mark.parametrize(
    "name",
    [
        "/etc/x.png",
        "\\x.png",
        "C:\\x.png",
        "c:/x.png",
        "../x.png",
        "a/../../x.png",
        "a\\..\\x.png",
        "a/..",
        "..",
        "a\0b",
    ],
)
def test_hostile_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"absolute|leads out"):
        clean(name)


@pytest.mark.parametrize(
    ("name", "parts"),
    [("./a//b.png", ("a", "b.png")), ("a/./b", ("a", "b")), ("", ()), ("a..b/..c", ("a..b", "..c")), ("CON", ("CON",))],
)
def test_clean_splits_a_name_into_parts(name: str, parts: tuple[str, ...]) -> None:
    assert clean(name) == parts


@given(st.text(alphabet="./\\aC:\0", max_size=12))
def test_no_clean_name_leads_out_of_the_archive(name: str) -> None:
    try:
        parts = clean(name)
    except ValueError:
        return
    assert not {"", ".", ".."} & set(parts)
    assert Path("/base", *parts).resolve().is_relative_to("/base")


def test_duplicate_names_are_found_in_two_passes() -> None:
    names = [("a", "1"), ("a", "2"), ("b", "1"), ("a", "1"), ("a", "1"), ("c", "1")]
    first = Seen()
    assert not any(first.before(name) for name in names)
    suspects = first.suspects()
    assert suspects == {hash(("a", "1"))}
    second = Seen(suspects)
    assert [second.before(name) for name in names] == [False, False, False, True, True, False]


def test_two_names_with_the_same_hash_are_not_duplicates() -> None:
    first, names = Seen(), (-1, -2)  # both have the hash -2
    assert not any(map(first.before, names))
    second = Seen(first.suspects())
    assert first.suspects()
    assert not any(map(second.before, names))


def test_no_names_give_no_suspects() -> None:
    assert Seen().suspects() == frozenset()


def test_seen_needs_a_few_bytes_per_name() -> None:
    seen = Seen()
    tracemalloc.start()
    for number in range(20_000):
        seen.before(("train", "cat", f"{number}.jpg"))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 20_000 * 12
