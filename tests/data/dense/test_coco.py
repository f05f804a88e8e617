"""COCO JSON, as tools write it."""

import json
from pathlib import Path
from typing import Any

import pytest
from support import dense

from resnetctl.data.dense.coco import documents, is_coco, read_coco
from resnetctl.data.dense.files import opened
from resnetctl.data.dense.scenes import Annotated


def found(folder: Path) -> Annotated:
    with opened(folder) as files:
        return read_coco(files, documents(files))


def change(folder: Path, split: str, **values: Any) -> None:
    file = folder / f"annotations/instances_{split}.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_ids_may_have_gaps_and_differ_between_files(tmp_path: Path) -> None:
    folder = dense.coco(tmp_path)
    body = json.loads((folder / "annotations/instances_val.json").read_text())
    swapped = {3: 70, 7: 1}
    change(
        folder,
        "val",
        categories=[{**item, "id": swapped[item["id"]]} for item in body["categories"]],
        annotations=[{**item, "category_id": swapped[item["category_id"]]} for item in body["annotations"]],
    )
    read = found(folder)
    assert (read.classes, read.problems) == (dense.CLASSES, ())
    labels = [[item.label for item in scene.objects] for scene in read.scenes]
    assert labels == [[box[4] for box in boxes] for _, _, boxes in dense.scenes(12)]


def test_a_declared_class_without_an_object_stays(tmp_path: Path) -> None:
    folder = dense.coco(tmp_path)
    categories = [{"id": 3, "name": "bar"}, {"id": 7, "name": "disc"}, {"id": 9, "name": "rare"}]
    change(folder, "train", categories=categories)
    assert found(folder).classes == ("bar", "disc", "rare")


def test_crowds_are_left_out_and_counted(tmp_path: Path) -> None:
    folder = dense.coco(tmp_path)
    body = json.loads((folder / "annotations/instances_train.json").read_text())
    body["annotations"][0]["iscrowd"] = 1
    change(folder, "train", annotations=body["annotations"])
    read = found(folder)
    assert len(read.scenes[0].objects) == 1
    assert read.remarks == ("crowds, left out: 1",)


def test_width_and_height_become_corners(tmp_path: Path) -> None:
    scene = found(dense.coco(tmp_path)).scenes[0]
    assert [item.corners for item in scene.objects] == [box[:4] for box in next(iter(dense.scenes(1)))[2]]


@pytest.mark.parametrize(
    "body", [[], {}, {"images": [], "annotations": []}, {"images": {}, "annotations": [], "categories": []}]
)
def test_other_json_is_not_coco(body: Any) -> None:
    assert not is_coco(body)


@pytest.mark.parametrize("entry", [None, 5, [], {"id": True}])
def test_entries_of_another_type_are_problems_and_no_crash(tmp_path: Path, entry: Any) -> None:
    folder = dense.coco(tmp_path)
    change(folder, "train", images=[entry], annotations=[entry], categories=[entry])
    assert len(found(folder).problems) >= 3
