"""`data check` reports problems of sources and of stored datasets."""

from pathlib import Path

import pytest
from PIL import Image
from support.pictures import encode, grey, solid, tree, write_tar, write_tree

from resnetctl.data.checks import Auditor, Finding, check_source, check_store, count_classes
from resnetctl.data.ingest.images import ingest
from resnetctl.data.reading.sniff import open_source
from resnetctl.data.storage.options import Options
from resnetctl.data.store import Store, open_store

GOOD = tree(train=12, test=10)


def of_source(path: Path) -> dict[str, Finding]:
    auditor = Auditor()
    source = open_source(path)
    assert list(check_source(source, auditor))[-1] == source.total
    return {finding.code: finding for finding in auditor.findings}


def stored(tmp_path: Path, files: dict[str, bytes]) -> Store:
    source = open_source(write_tree(tmp_path / "p", files))
    list(ingest(tmp_path / "store", "x", source=source, options=Options()))
    return open_store(tmp_path / "store", "x")


def of_store(store: Store) -> dict[str, Finding]:
    auditor = Auditor()
    list(check_store(store, auditor))
    return {finding.code: finding for finding in auditor.findings}


def test_a_good_source_has_no_findings(tmp_path: Path) -> None:
    assert of_source(write_tree(tmp_path / "p", GOOD)) == {}
    assert of_source(write_tar(tmp_path / "a.tar", GOOD)) == {}


def test_a_good_store_has_no_findings(tmp_path: Path) -> None:
    assert of_store(stored(tmp_path, GOOD)) == {}


def test_duplicates_across_splits_are_errors(tmp_path: Path) -> None:
    files = {**GOOD, "test/cat/twin.png": GOOD["train/cat/3.png"]}
    findings = of_source(write_tree(tmp_path / "p", files))
    assert findings["duplicates-across-splits"] == Finding(
        severity="error",
        code="duplicates-across-splits",
        message="the same image in two splits: 1 (test/cat/twin.png = train/cat/3.png)",
        count=1,
        names=("test/cat/twin.png = train/cat/3.png",),
    )
    assert of_store(stored(tmp_path / "again", files))["duplicates-across-splits"].count == 1


def test_equal_pixels_in_different_files_are_duplicates_in_the_store(tmp_path: Path) -> None:
    """Two different files with the same pixels are equal only after decoding."""
    files = {**GOOD, "test/cat/twin.bmp": encode(Image.new("RGB", (12, 12), (4, 0, 0)), "BMP")}
    assert "duplicates-across-splits" not in of_source(write_tree(tmp_path / "q", files))
    store = stored(tmp_path, files)
    assert of_store(store)["duplicates-across-splits"].names == ("train/cat/3.png = test/cat/twin.bmp",)
    (store.path / "manifest.jsonl").unlink()
    assert of_store(store)["duplicates-across-splits"].names == ("train/5 = test/10",)


def test_other_duplicates_are_warnings(tmp_path: Path) -> None:
    files = {**GOOD, "train/cat/twin.png": GOOD["train/cat/3.png"], "train/dog/twin.png": GOOD["train/cat/4.png"]}
    findings = of_source(write_tree(tmp_path / "p", files))
    assert {code: finding.severity for code, finding in findings.items()} == {
        "duplicates": "warning",
        "two-classes": "warning",
    }


def test_a_single_class_is_an_error(tmp_path: Path) -> None:
    files = {f"cat/{number}.png": grey(number) for number in range(12)}
    finding = of_source(write_tree(tmp_path / "p", files))["one-class"]
    assert (finding.severity, finding.names) == ("error", ("cat",))


def test_classes_without_training_images_are_errors(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "p", {**GOOD, **{f"test/bird/{number}.png": grey(number) for number in range(10)}})
    (root / "train" / "fish").mkdir()
    findings = of_source(root)
    assert (findings["empty-class"].severity, findings["empty-class"].names) == ("error", ("bird",))
    assert (findings["empty-folder"].severity, findings["empty-folder"].names) == ("warning", ("train/fish",))


def test_unreadable_files_are_all_listed(tmp_path: Path) -> None:
    files = {**GOOD, "train/cat/a.png": b"", "train/dog/b.jpg": b"no", "test/cat/c.gif": b"GIF89a"}
    finding = of_source(write_tree(tmp_path / "p", files))["unreadable"]
    assert (finding.severity, finding.count) == ("error", 3)
    assert [name.rpartition("(")[2] for name in finding.names] == [
        "test/cat/c.gif)",
        "train/cat/a.png)",
        "train/dog/b.jpg)",
    ]


def test_a_class_with_few_images_is_a_warning(tmp_path: Path) -> None:
    files = {**GOOD, "train/bird/1.png": grey(1), "train/bird/2.png": grey(2)}
    findings = of_source(write_tree(tmp_path / "p", files))
    assert (findings["few-images"].severity, findings["few-images"].names) == ("warning", ("bird: 2",))
    assert of_store(stored(tmp_path / "s", files))["few-images"].names == ("bird: 2",)


def test_classes_of_unequal_size_are_a_warning_with_ratio_and_baseline(tmp_path: Path) -> None:
    files = {
        f"{name}/{number}.png": grey(number + 40 * place) for place, name in enumerate("ab") for number in range(10)
    }
    assert "imbalance" not in of_source(write_tree(tmp_path / "equal", files))
    files |= {f"c/{number}.png": grey(100 + number) for number in range(30)}
    expected = Finding(
        severity="warning",
        code="imbalance",
        message="classes of unequal size: 3 to 1 (c: 30, b: 10); "
        "always answering 'c' is right for 60.0 % of the images",
        count=3,
        names=("c: 30", "b: 10"),
    )
    assert of_source(write_tree(tmp_path / "p", files))["imbalance"] == expected


def test_imbalance_is_that_of_train(tmp_path: Path) -> None:
    files = {**GOOD, **{f"test/dog/more{number}.png": grey(120 + number) for number in range(60)}}
    assert "imbalance" not in of_store(stored(tmp_path / "a", files))
    files |= {f"train/dog/more{number}.png": grey(180 + number) for number in range(30)}
    assert of_store(stored(tmp_path / "b", files))["imbalance"].names[0] == "dog: 42"


def test_a_finding_counts_all_names_and_lists_some(tmp_path: Path) -> None:
    files = {f"{name}/{number}.png": b"" for name in "ab" for number in range(20)}
    finding = of_source(write_tree(tmp_path / "p", files))["unreadable"]
    assert (finding.count, len(finding.names)) == (40, 20)
    assert finding.message.startswith("images that cannot be read: 40 (")
    assert finding.message.endswith(" and 37 more)")


@pytest.mark.parametrize("how", ["flip", "cut", "gone"])
def test_a_damaged_store_is_an_error(tmp_path: Path, how: str) -> None:
    store = stored(tmp_path, GOOD)
    path = store.file("test")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(data if how == "flip" else data[:-3])
    findings = of_store(store)
    assert list(findings) == ["damaged"]
    assert findings["damaged"].severity == "error"


def test_count_classes_counts_by_class_and_split(tmp_path: Path) -> None:
    files = {**tree(train=3, test=1), "train/bird/1.png": solid()}
    assert count_classes(stored(tmp_path, files)) == {
        "bird": {"train": 1, "test": 0},
        "cat": {"train": 3, "test": 1},
        "dog": {"train": 3, "test": 1},
    }
