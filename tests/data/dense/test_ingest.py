"""`data add` stores boxes and masks with their pictures, and lists every problem of a source in one error."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import dense

from resnetctl.data.checks import Auditor
from resnetctl.data.dense.checks import check_dense_store
from resnetctl.data.store import Store
from resnetctl.errors import DataError

Change = Callable[[Path], None]


def boxes_of(store: Store, split: Any = "train") -> list[list[list[float]]]:
    truth = store.split(split).truth
    assert truth is not None
    return [truth.boxes[first:last].tolist() for first, last in zip(truth.offsets[:-1], truth.offsets[1:], strict=True)]


def problems(source: Path, folder: Path, **options: Any) -> list[str]:
    """The lines of the one error; nothing is stored."""
    with pytest.raises(DataError) as caught:
        dense.added(source, folder / "data", **options)
    assert caught.value.exit_code == 3
    assert not [*(folder / "data").glob("scenes*")], "nothing half-written"
    return [caught.value.message, *caught.value.problems]


def test_boxes_lie_on_the_rectangles_of_the_stored_pictures(tmp_path: Path) -> None:
    store = dense.added(dense.voc(tmp_path / "voc"), tmp_path / "data")
    assert dict(store.card.splits) == {"train": 8, "val": 2, "test": 2}
    assert (store.card.truth, store.card.classes) == ("boxes", dense.CLASSES)
    assert (store.card.image.resize, store.card.image.fit) == (40, "pad")
    stored = store.split("train")
    assert stored.truth is not None
    for row, boxes in enumerate(boxes_of(store)):
        labels = stored.truth.labels[stored.truth.offsets[row] : stored.truth.offsets[row + 1]]
        for (x1, y1, x2, y2), label in zip(np.rint(boxes).astype(int), labels, strict=True):
            inside = stored.images[row, y1 + 1 : y2 - 1, x1 + 1 : x2 - 1].reshape(-1, 3).mean(0)
            assert np.abs(inside - dense.COLOURS[dense.CLASSES[label]]).max() < 25
    assert stored.truth.sizes.tolist() == [[40, 30]] * 8


@pytest.mark.parametrize("fit", ["pad", "squash", "crop"])
@pytest.mark.parametrize("size", [24, 64])
def test_boxes_and_masks_follow_every_fit(tmp_path: Path, fit: str, size: int) -> None:
    boxes = dense.added(dense.voc(tmp_path / "voc"), tmp_path / "data", "a", fit=fit, size=size)
    masks = dense.added(dense.masked(tmp_path / "masks"), tmp_path / "data", "b", fit=fit, size=size)
    truth, painted = boxes.split("train").truth, masks.split("train").truth
    assert truth is not None
    assert painted is not None
    assert painted.masks is not None
    for row, corners in enumerate(boxes_of(boxes)):
        drawn = painted.masks[row]
        for x1, y1, x2, y2 in corners:
            patch = drawn[int(y1 + 1.5) : int(y2 - 0.5), int(x1 + 1.5) : int(x2 - 0.5)]
            assert (patch > 0).mean() > 0.9 if patch.size else True
    assert (painted.masks == 255).any(axis=(1, 2)).all()


def test_coco_and_voc_of_the_same_scenes_store_the_same_boxes(tmp_path: Path) -> None:
    one = dense.added(dense.voc(tmp_path / "voc"), tmp_path / "data", "a")
    two = dense.added(dense.coco(tmp_path / "coco"), tmp_path / "data", "b")
    assert boxes_of(one) == boxes_of(two)
    assert two.card.classes == dense.CLASSES
    assert "no test split" in " ".join(two.card.notes)


def test_an_archive_stores_what_its_folder_stores(tmp_path: Path) -> None:
    folder = dense.voc(tmp_path / "voc")
    with tarfile.open(tmp_path / "voc.tar.xz", "w:xz") as archive:
        archive.add(folder, "outer")
    one = dense.added(folder, tmp_path / "data", "a")
    two = dense.added(tmp_path / "voc.tar.xz", tmp_path / "data", "b")
    same = {name: one.card.digests[name] for name in ("train", "val", "test")}
    assert same.items() <= two.card.digests.items()


def test_without_splits_a_fifth_becomes_test_and_every_class_is_in_it(tmp_path: Path) -> None:
    store = dense.added(dense.voc(tmp_path / "voc", 40, with_lists=False), tmp_path / "data")
    assert sum(store.card.splits.values()) == 40
    assert 6 <= store.card.splits["test"] <= 10
    truth = store.split("test").truth
    assert truth is not None
    assert set(truth.labels.tolist()) == {0, 1}


def test_images_without_objects_are_kept_and_counted(tmp_path: Path) -> None:
    store = dense.added(dense.voc(tmp_path / "voc"), tmp_path / "data")
    assert [len(boxes) for boxes in boxes_of(store)] == [2, 2, 2, 0, 2, 2, 2, 0]
    assert "images without an object: 3" in store.card.notes
    assert store.split("train").labels.tolist().count(2) == 2, "their label is the number of classes"


def _xml(folder: Path, number: int, *boxes: dense.Box, **more: Any) -> None:
    name = f"p{number:02d}"
    (folder / "Annotations" / f"{name}.xml").write_text(dense.xml(f"{name}.jpg", boxes, **more))


def test_a_box_without_area_is_left_out_and_named_or_strictly_an_error(tmp_path: Path) -> None:
    folder = dense.voc(tmp_path / "voc")
    _xml(folder, 0, (5, 5, 20, 20, "disc"), (9, 9, 9, 9, "bar"))
    store = dense.added(folder, tmp_path / "data")
    assert len(boxes_of(store)[0]) == 1
    assert "boxes without area, left out: 1 (Annotations/p00.xml: object 2 ('bar'))" in store.card.notes
    lines = problems(folder, tmp_path / "strict", strict=True) if (tmp_path / "strict").mkdir() is None else []
    assert any("p00.xml: object 2 ('bar'): the box (9, 9, 9, 9) has no area" in line for line in lines)


def test_a_box_that_reaches_beyond_its_picture_is_clipped_and_counted(tmp_path: Path) -> None:
    folder = dense.voc(tmp_path / "voc")
    _xml(folder, 0, (-5, 5, 20, 64, "disc"))
    store = dense.added(folder, tmp_path / "data")
    assert boxes_of(store)[0] == [[0, 10, 20, 35]]  # 5 px are padded above and below
    assert "boxes that reach beyond their image, clipped: 1" in store.card.notes


BAD_XML: dict[str, tuple[Change, str]] = {
    "inverted": (
        lambda f: _xml(f, 0, (20, 5, 10, 9, "disc")),
        "Annotations/p00.xml: object 1 ('disc'): the box (20, 5, 10, 9) is inverted: "
        "its second corner is left of its first, or above it",
    ),
    "outside": (
        lambda f: _xml(f, 0, (50, 5, 60, 9, "disc")),
        "Annotations/p00.xml: object 1 ('disc'): the box (50, 5, 60, 9) lies outside the image of 40x30 pixels",
    ),
    "touching": (
        lambda f: _xml(f, 0, (40, 5, 60, 9, "disc")),
        "Annotations/p00.xml: object 1 ('disc'): the box (40, 5, 60, 9) lies outside the image of 40x30 pixels",
    ),
    "not a number": (
        lambda f: _xml(f, 0, (float("nan"), 5, 60, 9, "disc")),
        "Annotations/p00.xml: object 1 ('disc'): the box (nan, 5, 60, 9) is not finite",
    ),
    "another size": (
        lambda f: _xml(f, 0, (1, 2, 3, 4, "disc"), size=(64, 48)),
        "Annotations/p00.xml: it says 64x48 pixels, and JPEGImages/p00.jpg has 40x30",
    ),
    "missing image": (
        lambda f: (f / "JPEGImages/p00.jpg").unlink(),
        "Annotations/p00.xml: its image 'p00.jpg' is missing",
    ),
    "truncated image": (
        lambda f: (f / "JPEGImages/p00.jpg").write_bytes((f / "JPEGImages/p00.jpg").read_bytes()[:500]) and None,
        "JPEGImages/p00.jpg",
    ),
    "no class": (lambda f: _xml(f, 0, (1, 2, 3, 4, " ")), "Annotations/p00.xml: object 1 has no class name"),
    "no XML": (lambda f: (f / "Annotations/p00.xml").unlink(), "train.txt: 'p00' has no XML file"),
    "broken XML": (
        lambda f: (f / "Annotations/p00.xml").write_text("<annotation>") and None,
        "Annotations/p00.xml: it is not XML",
    ),
    "entities": (
        lambda f: (f / "Annotations/p00.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>') and None,
        "Annotations/p00.xml: it is too large, or declares entities: refused",
    ),
    "two splits": (
        lambda f: (f / "ImageSets/Main/test.txt").write_text("p00\np11\n") and None,
        "ImageSets/Main/test.txt: 'p00' is in train, too",
    ),
}


@pytest.mark.parametrize("case", BAD_XML)
def test_bad_boxes_are_one_error_that_names_file_and_object(tmp_path: Path, case: str) -> None:
    change, expected = BAD_XML[case]
    folder = dense.voc(tmp_path / "voc")
    change(folder)
    assert any(expected in line for line in problems(folder, tmp_path)), problems(folder, tmp_path)


def test_all_problems_of_a_source_are_in_one_error(tmp_path: Path) -> None:
    folder = dense.voc(tmp_path / "voc")
    _xml(folder, 0, (20, 5, 10, 9, "disc"), (50, 5, 60, 9, "bar"))
    _xml(folder, 1, (float("inf"), 5, 60, 9, "disc"))
    (folder / "JPEGImages/p02.jpg").write_bytes((folder / "JPEGImages/p02.jpg").read_bytes()[:500])
    lines = problems(folder, tmp_path)
    assert lines[0].startswith("4 problems in 12 images with annotations (VOC XML)")
    assert [sum(name in line for line in lines) for name in ("p00.xml", "p01.xml", "p02.jpg")] == [2, 1, 1]


def test_one_problem_of_a_picture_hides_no_other(tmp_path: Path) -> None:
    folder, bad = dense.voc(tmp_path / "voc"), (float("nan"), 5, 60, 9, "disc")
    _xml(folder, 0, bad, (20, 5, 10, 9, "bar"), size=(64, 48))
    _xml(folder, 1, bad, (50, 35, 60, 45, "bar"), size=(64, 48))  # it lies in 64x48 pixels, so that is the only fault
    for number in (2, 4):
        _xml(folder, number, bad)
    (folder / "JPEGImages/p02.jpg").unlink()
    (folder / "JPEGImages/p04.jpg").write_bytes(b"no image")
    lines = problems(folder, tmp_path)
    assert lines[0].startswith("9 problems in 12 images")
    assert [sum(f"/p0{number}." in line for line in lines) for number in range(5)] == [3, 2, 2, 0, 2]


def test_a_mask_of_another_size_is_still_read(tmp_path: Path) -> None:
    folder = dense.masked(tmp_path / "masks")
    _mask(folder, lambda mask: _beyond(mask)[:20, :30])
    for name in ("000", "001"):
        (folder / f"images/train/{name}.png").write_bytes(b"no image")
    _mask(folder, _beyond, "masks/train/001.png")
    lines = problems(folder, tmp_path)[1:]
    assert [line.partition(":")[0] for line in lines] == [
        *("masks/train/000.png", "masks/train/001.png", "images/train/000.png", "images/train/001.png")
    ]


@pytest.mark.parametrize("size", [60, 200, 800])
def test_a_png_that_ends_early_is_a_problem_wherever_it_ends(tmp_path: Path, size: int) -> None:
    folder = dense.masked(tmp_path / "masks")
    file = folder / "images/train/000.png"
    file.write_bytes(file.read_bytes()[:size])
    (line,) = problems(folder, tmp_path)[1:]
    assert line.startswith("images/train/000.png: cannot be read as an image")
    store = dense.added(folder, tmp_path / "data", on_bad_image="skip")
    assert dict(store.card.splits)["train"] == 7


def _coco(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = folder / "annotations/instances_train.json"
    body = json.loads(file.read_text())
    change(body)
    file.write_text(json.dumps(body))


BAD_JSON: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "class 0": (lambda b: b["annotations"][0].update(category_id=0), "annotation 1: no category has the id 0"),
    "negative class": (lambda b: b["annotations"][0].update(category_id=-1), "annotation 1: no category has the id -1"),
    "unknown class": (lambda b: b["annotations"][0].update(category_id=99), "annotation 1: no category has the id 99"),
    "gap": (lambda b: b["annotations"][0].update(category_id=4), "annotation 1: no category has the id 4"),
    "negative id": (lambda b: b["categories"][0].update(id=-3), "category 0 needs an id of 0 or more, and a name"),
    "same id": (lambda b: b["categories"][0].update(id=7), "two categories have the id 7"),
    "unknown image": (lambda b: b["annotations"][0].update(image_id=99), "annotation 1: no image has the id 99"),
    "same image id": (lambda b: b["images"][1].update(id=1), "two images have the id 1"),
    "bbox": (lambda b: b["annotations"][0].update(bbox=[1, 2, "x", 4]), "annotation 1: its bbox is not [x, y, width"),
    "width": (lambda b: b["annotations"][0].update(bbox=[9, 2, -4, 4]), "is inverted"),
    "missing": (lambda b: b["images"][0].update(file_name="no.png"), "image 1: its image 'no.png' is missing"),
    "same file": (lambda b: b["images"][1].update(file_name="000.png"), "2 annotations name this image"),
    "size": (lambda b: b["images"][0].update(width=80), "it says 80x30 pixels, and images/train/000.png has 40x30"),
}


@pytest.mark.parametrize("case", BAD_JSON)
def test_bad_coco_is_one_error_that_names_file_and_annotation(tmp_path: Path, case: str) -> None:
    change, expected = BAD_JSON[case]
    folder = dense.coco(tmp_path / "coco")
    _coco(folder, change)
    lines = problems(folder, tmp_path)
    assert any(expected in line for line in lines), lines


def _mask(
    folder: Path, change: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]], name: str = "masks/train/000.png"
) -> None:
    file = folder / name
    Image.fromarray(change(np.asarray(Image.open(file)).copy())).save(file)


def _beyond(mask: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    mask[:2, :3] = 77
    return mask


BAD_MASKS: dict[str, tuple[Change, str]] = {
    "another size": (
        lambda f: _mask(f, lambda mask: mask[:20, :30]),
        "masks/train/000.png: the mask has 30x20 pixels, and images/train/000.png has 40x30",
    ),
    "beyond the classes": (
        lambda f: _mask(f, _beyond),
        "masks/train/000.png: 6 pixels have the level 77, and no line of classes.txt does",
    ),
    "colours": (
        lambda f: _mask(f, lambda mask: np.stack([mask] * 3, -1)),
        "it is a colour image, not one of classes",
    ),
    "0 and 255": (
        lambda f: _mask(f, lambda mask: np.where(np.arange(40) > 9, 255, 0 * mask).astype(np.uint8)),
        "it has the levels 0 and 255 only, and 255 means 'not known'",
    ),
    "missing mask": (lambda f: (f / "masks/train/000.png").unlink(), "images/train/000.png: its mask is missing"),
    "missing image": (lambda f: (f / "images/train/000.png").unlink(), "masks/train/000.png: its image is missing"),
    "no picture": (lambda f: (f / "masks/train/000.png").write_bytes(b"x") and None, "cannot be read as an image"),
    "broken names": (lambda f: (f / "classes.txt").write_text("a 1\nb\n") and None, "some lines have a level"),
    "one name twice": (lambda f: (f / "classes.txt").write_text("a\nb\na\n") and None, "a class occurs twice"),
}


@pytest.mark.parametrize("case", BAD_MASKS)
def test_bad_masks_are_one_error_that_names_the_file(tmp_path: Path, case: str) -> None:
    change, expected = BAD_MASKS[case]
    folder = dense.masked(tmp_path / "masks")
    change(folder)
    lines = problems(folder, tmp_path)
    assert any(expected in line for line in lines), lines


def test_what_to_do_about_colours_is_said_once(tmp_path: Path) -> None:
    folder = dense.masked(tmp_path / "masks")
    for name in ("000", "001"):
        file = folder / f"masks/train/{name}.png"
        Image.open(file).convert("RGB").save(file)
    with pytest.raises(DataError) as caught:
        dense.added(folder, tmp_path / "data")
    assert [*caught.value.problems] == [
        f"masks/train/{name}.png: it is a colour image, not one of classes" for name in ("000", "001")
    ]
    assert "(`background 0 0 0` and `cell 255 255 255`) to classes" in str(caught.value.hint)


def test_a_class_that_train_lacks_is_noted(tmp_path: Path) -> None:
    folder = dense.masked(tmp_path / "masks", names="ground\nsky\ncar\nbus\ntram\n")
    note = "classes without a pixel in train, which no network can learn: bus, tram"
    assert note in dense.added(folder, tmp_path / "data").card.notes


def test_masks_of_0_and_255_are_refused_together_with_what_to_do(tmp_path: Path) -> None:
    folder = dense.masked(tmp_path / "masks", names="ground\ncell\n")
    for file in folder.glob("masks/*/*.png"):
        mask = np.asarray(Image.open(file))
        Image.fromarray(np.where((mask > 0) & (mask < 255), 255, 0).astype(np.uint8)).save(file)
    with pytest.raises(DataError) as caught:
        dense.added(folder, tmp_path / "data")
    assert "no mask has a level other than 0 and 255" in caught.value.problems[-1]
    assert "`background 0` and `cell 255`" in str(caught.value.hint)
    (folder / "classes.txt").write_text("ground 0\ncell 255\n")
    assert dense.added(folder, tmp_path / "data").card.classes == ("ground", "cell")


def test_a_mask_that_is_not_known_anywhere_is_kept_and_remarked(tmp_path: Path) -> None:
    folder = dense.masked(tmp_path / "masks")
    _mask(folder, lambda mask: np.full_like(mask, 255))
    store = dense.added(folder, tmp_path / "data")
    assert any("teach nothing: 1 (masks/train/000.png)" in note for note in store.card.notes)
    assert dict(store.card.splits)["train"] == 8


def test_bad_images_are_skipped_where_asked(tmp_path: Path) -> None:
    folder = dense.voc(tmp_path / "voc")
    (folder / "JPEGImages/p00.jpg").write_bytes(b"no image")
    lines = problems(folder, tmp_path)
    assert lines[0] == "1 of 12 images cannot be read"
    store = dense.added(folder, tmp_path / "data", on_bad_image="skip")
    assert dict(store.card.splits)["train"] == 7
    assert "skipped, because they cannot be read: 1" in " ".join(store.card.notes)


def test_a_source_without_train_is_refused(tmp_path: Path) -> None:
    folder = dense.coco(tmp_path / "coco")
    (folder / "annotations/instances_train.json").unlink()
    assert "there is val, but no train split" in problems(folder, tmp_path)[0]


def test_a_picture_that_its_exif_turns_is_stored_upright_with_its_boxes(tmp_path: Path) -> None:
    folder = dense.voc(tmp_path / "voc")
    picture, _, boxes = next(iter(dense.scenes(1)))
    exif = Image.Exif()
    exif[0x0112] = 6  # show it turned by 90 degrees to the right
    Image.fromarray(np.rot90(picture)).save(folder / "JPEGImages/p00.jpg", quality=95, exif=exif)
    store = dense.added(folder, tmp_path / "data")
    assert boxes_of(store)[0] == [[x1, y1 + 5, x2, y2 + 5] for x1, y1, x2, y2, _ in boxes]
    stored = store.split("train")
    x1, y1, x2, y2 = map(int, boxes_of(store)[0][0])
    inside = stored.images[0, y1 + 1 : y2 - 1, x1 + 1 : x2 - 1].reshape(-1, 3).mean(0)
    assert np.abs(inside - dense.COLOURS[boxes[0][4]]).max() < 25


def test_pictures_of_which_only_some_have_a_split_are_refused_by_name(tmp_path: Path) -> None:
    folder = dense.voc(tmp_path / "voc", with_lists=False)
    (folder / "train").mkdir()
    for file in ("Annotations/p00.xml", "JPEGImages/p00.jpg"):
        (folder / file).rename(folder / "train" / Path(file).name)
    lines = problems(folder, tmp_path)
    assert lines[0] == "some images have a split and some have none"
    assert len(lines) == 1 + 11
    assert "JPEGImages/p01.jpg" in lines


def test_a_source_without_any_object_is_refused(tmp_path: Path) -> None:
    folder = dense.voc(tmp_path / "voc")
    for number in range(12):
        _xml(folder, number)
    assert problems(folder, tmp_path) == ["no object in 12 images (VOC XML)"]


def test_flat_boxes_are_no_class_of_a_picture_but_their_class_stays(tmp_path: Path) -> None:
    folder = dense.voc(tmp_path / "voc")
    _xml(folder, 0, (9, 9, 9, 9, "rare"))
    store = dense.added(folder, tmp_path / "data")
    assert store.card.classes == ("bar", "disc", "rare")
    assert store.split("train").labels[0] == 3, "as a picture without an object"


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_grey_pictures_have_one_channel_and_are_not_mirrored_by_default(
    tmp_path: Path, mode: str, channels: int
) -> None:
    folder = dense.voc(tmp_path / "voc")
    for file in folder.glob("JPEGImages/*"):
        Image.open(file).convert(mode).save(file)
    card = dense.added(folder, tmp_path / "data").card
    assert (card.image.channels, card.defaults["mirror"]) == (channels, channels == 3)


def test_pictures_beyond_the_limit_of_pixels_are_listed_with_their_size(tmp_path: Path) -> None:
    lines = problems(dense.voc(tmp_path / "voc"), tmp_path, max_pixels=1199)
    assert len(lines) == 13
    assert all("40x30 pixels are over the limit of 1,199" in line for line in lines[1:])
    assert dense.added(tmp_path / "voc", tmp_path / "data", max_pixels=1200).card.splits["train"] == 8


@pytest.mark.parametrize("write", [dense.voc, dense.coco, dense.masked])
def test_the_same_source_is_stored_with_the_same_bytes(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    folder = write(tmp_path / "source")
    one, two = (dense.added(folder, tmp_path / "data", name) for name in "ab")
    for split in one.splits:
        assert one.file(split).read_bytes() == two.file(split).read_bytes()
        assert one.truth_file(split).read_bytes() == two.truth_file(split).read_bytes()


def test_a_picture_of_one_row_is_stored_with_its_box(tmp_path: Path) -> None:
    folder = dense.voc(tmp_path / "voc")
    Image.new("RGB", (40, 1)).save(folder / "JPEGImages/p00.jpg")
    _xml(folder, 0, (4, 0, 20, 1, "disc"), size=(40, 1))
    for fit, expected in (("pad", [4, 19, 20, 20]), ("squash", [4, 0, 20, 40])):
        assert boxes_of(dense.added(folder, tmp_path / "data", fit, fit=fit))[0] == [expected]


@pytest.mark.parametrize("make", [dense.voc, dense.masked])
def test_pictures_kept_as_files_have_the_pixels_and_the_truth_of_the_raw_form(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    source = make(tmp_path / "source")
    raw, files = (dense.added(source, tmp_path / "data", form, storage=form) for form in ("raw", "jpeg"))
    assert files.card.storage == "jpeg"
    assert (files.path / "train-00000.bin").is_file()
    for split in raw.splits:
        ours, theirs = files.split(split), raw.split(split)
        assert np.array_equal(ours.images[:], theirs.images)
        assert ours.truth is not None
        assert theirs.truth is not None
        assert np.array_equal(ours.truth.boxes, theirs.truth.boxes)
        assert (ours.truth.masks is None) == (theirs.truth.masks is None)
        assert ours.truth.masks is None or np.array_equal(ours.truth.masks, theirs.truth.masks)
    auditor = Auditor()
    list(check_dense_store(files, auditor))
    assert not [finding for finding in auditor.findings if finding.severity == "error"]
    (files.path / "train-00000.bin").write_bytes(bytes((files.path / "train-00000.bin").stat().st_size))
    list(check_dense_store(files, auditor := Auditor()))
    assert "damaged" in [finding.code for finding in auditor.findings]


def test_pictures_that_are_added_leave_the_others_in_their_split(tmp_path: Path) -> None:
    def splits(count: int, *, replace: bool) -> dict[str, str]:
        store = dense.added(
            dense.voc(tmp_path / f"voc{count}", count, with_lists=False), tmp_path / "data", replace=replace
        )
        assert store.card.notes[0].startswith("test: kept" if replace else "test: a fixed 20 %")
        assert len(store.card.replaced) == replace
        lines = map(json.loads, (store.path / "manifest.jsonl").read_text().splitlines())
        return {line["name"]: line["split"] for line in lines}

    first = splits(12, replace=False)
    again = splits(30, replace=True)
    assert first.items() <= again.items()
    assert list(again.values()).count("test") >= 5
