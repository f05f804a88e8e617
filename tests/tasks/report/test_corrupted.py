"""`report` judges the network on corrupted images, made here or read from published files."""

from pathlib import Path

import numpy as np
import pytest
from support.trained import card, make_run, make_store

from resnetctl.data.store import Store
from resnetctl.errors import DataError, UsageError
from resnetctl.system import settings
from resnetctl.tasks import judge
from resnetctl.tasks.report import corrupted
from resnetctl.tasks.report.corrupted import require_kinds
from resnetctl.tasks.report.document import TrustReport
from resnetctl.tasks.report.report import report
from resnetctl.trust.pictures.corruptions import FIVE, KINDS, corrupt


@pytest.fixture
def store() -> Store:
    store = make_store(splits={"train": 200, "test": 60})
    make_run(card(store))
    return store


def reported(**options: object) -> TrustReport:
    return report(None, settings=settings.load(), **options)


def test_each_kind_and_severity_has_a_cell(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    found = reported(corruption=["fog", "contrast"]).to_json()["corruptions"]
    assert (found["source"], found["n"], found["level"]) == ("resnetctl-c", 180, 0.9)
    assert [(cell["kind"], cell["severity"]) for cell in found["cells"]] == [
        (kind, severity) for kind in ("fog", "contrast") for severity in (1, 2, 3, 4, 5)
    ]
    assert found["interval"][0] <= found["mean"] <= found["interval"][1]
    monkeypatch.setattr(judge, "collect", None)
    assert reported(corruption=["fog", "contrast"]).to_json()["corruptions"] == found  # no pass is run again


def test_at_most_1000_images_are_corrupted_and_quick_leaves_all_out(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corrupted, "COUNT", 50)
    assert reported().corruptions.n == 50
    assert "corruptions" not in reported(quick=True).to_json()


def test_the_default_is_five_kinds_and_all_is_fifteen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corrupted, "FIVE", FIVE)
    assert require_kinds(()) == FIVE
    assert require_kinds(("fog", "all")) == KINDS
    with pytest.raises(UsageError, match="'fogg' is no corruption") as caught:
        require_kinds(("fogg",))
    assert "fog" in str(caught.value.hint)


def test_grey_images_have_no_saturation(store: Store) -> None:
    outcome = reported(corruption=["saturate", "fog"])
    assert {cell.kind for cell in outcome.corruptions.cells} == {"fog"}
    assert "saturate does not change images of one channel: it is left out" in outcome.notices
    with pytest.raises(UsageError, match="no corruption is left"):
        reported(corruption=["saturate"])


def published(store: Store, folder: Path) -> np.ndarray:
    """Write files as CIFAR-10-C has them, of the corruptions made here, and return the images of the test split."""
    test = store.split("test")
    rows = np.arange(len(test.labels))
    files = [corrupt(np.array(test.images), "fog", severity=severity, rows=rows) for severity in range(1, 6)]
    folder.mkdir()
    np.save(folder / "fog.npy", np.concatenate(files))
    np.save(folder / "labels.npy", np.tile(test.labels, 5))
    return np.array(test.labels)


def test_published_files_give_the_numbers_of_the_same_images(store: Store, tmp_path: Path) -> None:
    published(store, tmp_path / "c")
    made, read = reported(corruption=["fog"]), reported(corruption=["fog"], cifar_c=tmp_path / "c")
    assert read.corruptions.source == "cifar-10-c"
    assert read.corruptions.cells == made.corruptions.cells


def test_published_files_of_other_images_are_refused(store: Store, tmp_path: Path) -> None:
    labels = published(store, tmp_path / "c")
    with pytest.raises(DataError, match="cannot read the corrupted images"):
        reported(corruption=["contrast"], cifar_c=tmp_path / "c")
    np.save(tmp_path / "c" / "labels.npy", np.tile(labels[::-1], 5))
    with pytest.raises(DataError, match="labels are not those of this test split"):
        reported(corruption=["fog"], cifar_c=tmp_path / "c")
    np.save(tmp_path / "c" / "labels.npy", np.tile(labels, 5))
    np.save(tmp_path / "c" / "fog.npy", np.zeros((7, 8, 8, 1), np.uint8))
    with pytest.raises(DataError, match="does not hold 900 images"):
        reported(corruption=["fog"], cifar_c=tmp_path / "c")


def hostile(path: Path, kind: str) -> None:
    """Replace an array by something else."""
    content = path.read_bytes()
    path.unlink()
    if kind == "archive":
        with path.open("wb") as file:
            np.savez(file, a=np.zeros(3))
    elif kind == "pickle":
        np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes({"empty": b"", "text": b"hello", "cut": content[: len(content) // 2]}[kind])


@pytest.mark.parametrize("name", ["labels.npy", "fog.npy"])
@pytest.mark.parametrize("kind", ["archive", "pickle", "folder", "empty", "text", "cut"])
def test_published_files_that_are_no_arrays_are_refused_by_name(
    store: Store, tmp_path: Path, name: str, kind: str
) -> None:
    published(store, tmp_path / "c")
    hostile(tmp_path / "c" / name, kind)
    with pytest.raises(DataError, match="cannot read the corrupted images") as caught:
        reported(corruption=["fog"], cifar_c=tmp_path / "c")
    assert caught.value.where == str(tmp_path / "c" / name)


def test_published_images_of_another_type_are_refused(store: Store, tmp_path: Path) -> None:
    published(store, tmp_path / "c")
    images = np.load(tmp_path / "c" / "fog.npy")
    np.save(tmp_path / "c" / "fog.npy", images.astype(np.float32) / 255)
    with pytest.raises(DataError, match="does not hold 900 images") as caught:
        reported(corruption=["fog"], cifar_c=tmp_path / "c")
    assert caught.value.exit_code == 3


def test_kinds_that_are_asked_for_twice_are_measured_once() -> None:
    assert require_kinds(("fog", "contrast", "fog")) == ("fog", "contrast")
