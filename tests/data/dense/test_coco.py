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


@pytest.mark.parametrize(
    "box",
    [None, [], [1, 2, 3], [1, 2, 3, 4, 5], "1234", [1, 2, None, 4], [1, 2, True, 4], [10**400, 2, 3, 4], {"x": 1}],
)
def test_a_bbox_that_is_not_four_numbers_is_a_problem(tmp_path: Path, box: Any) -> None:
    folder = dense.coco(tmp_path)
    body = json.loads((folder / "annotations/instances_train.json").read_text())
    body["annotations"][0]["bbox"] = box
    change(folder, "train", annotations=body["annotations"])
    (problem,) = found(folder).problems
    assert problem == "annotations/instances_train.json: annotation 1: its bbox is not [x, y, width, height]"


@pytest.mark.parametrize(
    ("category", "problem"),
    [
        ({"id": -1, "name": "x"}, "category 2 needs an id of 0 or more, and a name"),
        ({"id": "9", "name": "x"}, "category 2 needs an id of 0 or more, and a name"),
        ({"id": 9, "name": "  "}, "category 2 needs an id of 0 or more, and a name"),
        ({"id": 9}, "category 2 needs an id of 0 or more, and a name"),
        ({"id": 7, "name": "x"}, "two categories have the id 7"),
    ],
)
def test_a_category_needs_its_own_id_and_a_name(tmp_path: Path, category: Any, problem: str) -> None:
    folder = dense.coco(tmp_path)
    body = json.loads((folder / "annotations/instances_train.json").read_text())
    change(folder, "train", categories=[*body["categories"], category])
    assert found(folder).problems == (f"annotations/instances_train.json: {problem}",)


def test_two_ids_with_one_name_are_one_class(tmp_path: Path) -> None:
    folder = dense.coco(tmp_path)
    for split in ("train", "val"):
        change(folder, split, categories=[{"id": 3, "name": "thing"}, {"id": 7, "name": " thing "}])
    read = found(folder)
    assert (read.classes, read.problems) == (("thing",), ())
    assert {item.label for scene in read.scenes for item in scene.objects} == {"thing"}


def test_ids_of_images_may_be_text(tmp_path: Path) -> None:
    folder = dense.coco(tmp_path)
    for split in ("train", "val"):
        body = json.loads((folder / f"annotations/instances_{split}.json").read_text())
        images = [{**item, "id": f"i{item['id']}"} for item in body["images"]]
        change(
            folder,
            split,
            images=images,
            annotations=[{**item, "image_id": f"i{item['image_id']}"} for item in body["annotations"]],
        )
    read = found(folder)
    assert read.problems == ()
    assert sum(len(scene.objects) for scene in read.scenes) == 18


@pytest.mark.parametrize("size", [{}, {"width": 0}, {"width": "40"}, {"height": None}, {"height": -30}])
def test_a_size_that_is_no_size_leaves_it_to_the_picture(tmp_path: Path, size: dict[str, Any]) -> None:
    folder = dense.coco(tmp_path)
    body = json.loads((folder / "annotations/instances_train.json").read_text())
    first = {key: value for key, value in body["images"][0].items() if size or key in ("id", "file_name")} | size
    change(folder, "train", images=[first, *body["images"][1:]])
    read = found(folder)
    assert read.problems == ()
    assert [scene.size for scene in read.scenes[:2]] == [None, (40, 30)]


def test_json_of_other_tools_and_images_without_an_entry_are_left_out_and_counted(tmp_path: Path) -> None:
    folder = dense.coco(tmp_path)
    (folder / "settings.json").write_text("{}")
    (folder / "broken.json").write_text("[" * 100_000)
    body = json.loads((folder / "annotations/instances_val.json").read_text())
    left = [item for item in body["annotations"] if item["image_id"] != 9]
    change(folder, "val", images=body["images"][1:], annotations=left)
    read = found(folder)
    assert read.problems == ()
    assert read.remarks == ("images that no JSON file names, left out: 1",)
    assert len(read.scenes) == 11


def test_the_order_of_annotations_is_kept_for_each_image_and_only_the_listing_changes(tmp_path: Path) -> None:
    folder = dense.coco(tmp_path)
    before = found(folder)
    body = json.loads((folder / "annotations/instances_train.json").read_text())
    change(folder, "train", annotations=body["annotations"][::-1])
    after = found(folder)
    assert after.listing != before.listing
    for one, two in zip(before.scenes, after.scenes, strict=True):
        assert [item.corners for item in one.objects] in (
            [item.corners for item in two.objects],
            [item.corners for item in two.objects][::-1],
        )


def test_only_the_named_file_of_several_is_read(tmp_path: Path) -> None:
    folder = dense.coco(tmp_path)
    with opened(folder) as files:
        assert [*documents(files)] == ["annotations/instances_train.json", "annotations/instances_val.json"]
        assert [*documents(files, only="annotations/instances_val.json")] == ["annotations/instances_val.json"]
        assert documents(files, only="instances_val.json") == {}


def test_without_a_box_in_any_file_the_categories_of_an_image_are_its_labels(tmp_path: Path) -> None:
    folder = dense.coco(tmp_path)
    for split in ("train", "val"):
        body = json.loads((folder / f"annotations/instances_{split}.json").read_text())
        kept = [{key: value for key, value in item.items() if key != "bbox"} for item in body["annotations"]]
        change(folder, split, annotations=[*kept, *kept[:1]])  # twice the same is one label
    read = found(folder)
    assert (read.truth, read.problems) == ("tags", ())
    wanted = [{box[4] for box in boxes} for _, _, boxes in dense.scenes(12)]
    assert [set(scene.tags) for scene in read.scenes] == wanted
    assert all(len(set(scene.tags)) == len(scene.tags) and not scene.objects for scene in read.scenes)
    change(folder, "val", annotations=[{"image_id": 9, "category_id": 5}])
    assert [problem.partition(": ")[2] for problem in found(folder).problems] == [
        "annotation 0: no category has the id 5"
    ]


def test_one_box_is_enough_to_expect_one_everywhere(tmp_path: Path) -> None:
    folder = dense.coco(tmp_path)
    body = json.loads((folder / "annotations/instances_train.json").read_text())
    del body["annotations"][0]["bbox"]
    change(folder, "train", annotations=body["annotations"])
    read = found(folder)
    assert read.truth == "boxes"
    assert [problem.partition(": ")[2] for problem in read.problems] == [
        "annotation 1: its bbox is not [x, y, width, height]"
    ]
