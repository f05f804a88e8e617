"""Stored numbers are verified when they are used, and belong to their images."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.numbered import stored

from resnetctl.data.store import open_store
from resnetctl.data.vectors.stored import vectors_name
from resnetctl.errors import DataError
from resnetctl.facts import result_of
from resnetctl.system import settings
from resnetctl.tasks.data.check import check


def test_columns_are_picked_by_name(tmp_path: Path) -> None:
    vectors = stored(tmp_path).split("train").vectors
    assert vectors is not None
    picked = vectors.picked(np.array([3, 0]), ("length", "weight"))
    assert np.array_equal(picked, vectors.values[[3, 0]][:, [2, 0]])
    with pytest.raises(DataError, match="the dataset lacks colour"):
        vectors.picked(np.array([0]), ("colour",))


def test_a_changed_number_is_found_when_it_is_used_and_by_the_check(tmp_path: Path) -> None:
    store = stored(tmp_path)
    path = store.path / vectors_name("val")
    data = bytearray(path.read_bytes())
    data[520] ^= 1  # behind the header of 512 bytes
    path.write_bytes(data)
    vectors = open_store(store.path.parent, "scenes").split("val").vectors
    assert vectors is not None
    with pytest.raises(DataError, match="rows 0 to 3 changed since they were stored"):
        vectors.picked(np.array([1]), ("weight",))
    report = result_of(check("scenes", settings.load()))
    assert any(finding.code == "damaged" for finding in report.findings)


def test_the_numbers_of_another_dataset_are_refused(tmp_path: Path) -> None:
    one, other = stored(tmp_path / "a"), stored(tmp_path / "b", count=28, name="other")
    shutil.copy(one.path / vectors_name("val"), other.path / vectors_name("val"))
    data = bytearray((other.path / vectors_name("val")).read_bytes())
    with pytest.raises(DataError, match="is not the file that belongs to these images"):
        open_store(other.path.parent, "other").split("val")
    (other.path / vectors_name("val")).write_bytes(data[:-40])
    with pytest.raises(DataError, match="damaged"):
        open_store(other.path.parent, "other").split("val")


def test_a_dataset_without_numbers_says_nothing_of_them(tmp_path: Path) -> None:
    store = stored(tmp_path)
    body = json.loads((store.path / "card.json").read_text())
    assert body.pop("vector")["columns"] == ["weight", "same", "length"]
    (store.path / "card.json").write_text(json.dumps(body))
    assert open_store(store.path.parent, "scenes").split("train").vectors is None
    assert "vector" not in open_store(store.path.parent, "scenes").card.to_json()
