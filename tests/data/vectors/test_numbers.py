"""Every image gets its numbers before one is decoded; lines too many are counted, lines too few are an error."""

import json
from pathlib import Path

import numpy as np
import pytest
from support import dense
from support.numbered import COLUMNS, added, stored, written

from resnetctl.errors import DataError, UsageError
from resnetctl.system import settings


def test_the_card_has_columns_mean_and_std_of_train(tmp_path: Path) -> None:
    store = stored(tmp_path)
    vector, train = store.card.vector, store.split("train").vectors
    assert vector is not None
    assert train is not None
    assert vector.columns == COLUMNS
    assert vector.mean == pytest.approx(train.values.mean(0), rel=1e-5)
    assert vector.std == pytest.approx(train.values.std(0), rel=1e-4)
    assert vector.constant == ["same"]
    assert "columns with one value in all training images, which networks read as 0: same" in store.card.notes


def test_a_folder_finds_its_numbers_by_name_and_unused_lines_are_noted(tmp_path: Path) -> None:
    _, numbers = written(tmp_path / "in")
    for place, picture in enumerate(sorted((tmp_path / "in/img").iterdir())):
        folder = tmp_path / "photos" / "ab"[place % 2]
        folder.mkdir(parents=True, exist_ok=True)
        picture.rename(folder / picture.name)
    names = [f"{'ab'[int(line[4:7]) % 2]}/{line[4:]}" for line in numbers.read_text().splitlines()[1:]]
    table = tmp_path / "photos.csv"
    table.write_text("\n".join([f"path,{','.join(COLUMNS)}", *names, "a/gone.png,1,2,3"]))
    store = added(tmp_path / "photos", table)
    assert "lines of photos.csv that name no image, left out: 1" in store.card.notes
    split = store.split("train")
    assert split.vectors is not None
    wanted = {name.split(",")[0]: [float(one) for one in name.split(",")[1:]] for name in names}
    for line in (store.path / "manifest.jsonl").read_text().splitlines()[:3]:
        item = json.loads(line)
        values = store.split(item["split"]).vectors
        assert values is not None
        assert values.values[item["row"]].tolist() == pytest.approx(wanted[item["name"]], rel=1e-6)


def test_an_image_without_numbers_is_named_and_nothing_is_stored(tmp_path: Path) -> None:
    labels, numbers = written(tmp_path / "in")
    numbers.write_text("\n".join(numbers.read_text().splitlines()[:-2]))
    with pytest.raises(DataError, match="2 images of 24 have no line") as caught:
        added(labels, numbers)
    assert list(caught.value.problems) == ["img/022.png", "img/023.png"]
    assert not (settings.load().data_dir / "scenes").exists()


def test_an_array_follows_the_lines_of_a_csv_file_and_no_folder(tmp_path: Path) -> None:
    labels, numbers = written(tmp_path / "in")
    rows = [[float(cell) for cell in line.split(",")[1:]] for line in numbers.read_text().splitlines()[1:]]
    np.save(tmp_path / "n.npy", np.array(rows))
    one, other = added(labels, numbers), added(labels, tmp_path / "n.npy", name="other")
    first, second = one.split("val").vectors, other.split("val").vectors
    assert first is not None
    assert second is not None
    assert np.array_equal(first.values, second.values)
    with pytest.raises(DataError, match="its rows have no names"):
        added(tmp_path / "in", tmp_path / "n.npy", name="folder")


def test_a_strict_column_of_one_value_is_an_error(tmp_path: Path) -> None:
    labels, numbers = written(tmp_path / "in")
    with pytest.raises(DataError, match="1 column with one value in all training images") as caught:
        added(labels, numbers, strict=True)
    assert list(caught.value.problems) == ["same"]


def test_pictures_with_boxes_take_no_numbers(tmp_path: Path) -> None:
    _, numbers = written(tmp_path / "in")
    with pytest.raises(UsageError, match="numbers go with images of one label"):
        added(dense.voc(tmp_path / "voc"), numbers)
