"""Sources are stored with the right shape, splits and notes, and bad images are listed."""

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.pictures import encode, grey, solid, tree, write_tar, write_tree, write_zip

from resnetctl.data.images import prepare, prepare_array
from resnetctl.data.ingest import images as ingest_module
from resnetctl.data.ingest.images import LISTING, ingest
from resnetctl.data.reading import parallel
from resnetctl.data.reading.sniff import open_source
from resnetctl.data.storage.options import Options
from resnetctl.data.store import Store, open_store
from resnetctl.errors import DataError, UsageError
from resnetctl.hints import Call
from resnetctl.spec import Fit


def add(root: Path, data_dir: Path, options: Options | None = None, name: str = "x") -> Store:
    source = open_source(root)
    done = list(ingest(data_dir, name, source=source, options=options or Options()))
    assert done[-1] == source.total
    assert done == sorted(done)
    return open_store(data_dir, name)


def photo(seed: int, size: tuple[int, int]) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1] // 8 + 1, size[0] // 8 + 1, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "store"


def test_ingest_stores_splits_classes_and_pixels(tmp_path: Path, data_dir: Path) -> None:
    store = add(write_tree(tmp_path / "p", tree()), data_dir)
    assert store.card.classes == ("cat", "dog")
    assert dict(store.card.splits) == {"train": 8, "test": 4}
    train = store.split("train")
    assert train.images.shape == (8, 12, 12, 3)
    assert train.labels.tolist() == [0] * 4 + [1] * 4
    assert train.images[5, 0, 0].tolist() == [2, 40, 0]
    assert store.split("test").images[3, 0, 0].tolist() == [2, 40, 100]


@pytest.mark.parametrize("make", [write_tar, write_zip])
def test_an_archive_and_its_folder_give_the_same_store(tmp_path: Path, data_dir: Path, make: object) -> None:
    files = tree()
    stored = [
        add(write_tree(tmp_path / "p", files), data_dir, name="folder"),
        add(make(tmp_path / "a", dict(sorted(files.items()))), data_dir, name="archive"),  # type: ignore[operator]
    ]
    for split in ("train", "test"):
        first, second = (store.split(split) for store in stored)
        assert (first.images == second.images).all()
        assert (first.labels == second.labels).all()
        assert stored[0].card.digests[split] == stored[1].card.digests[split]


def test_the_card_has_source_classes_and_measured_values(tmp_path: Path, data_dir: Path) -> None:
    root = write_tree(tmp_path / "p", {**tree(), "train/cat/x.txt": b"", ".DS_Store": b""})
    card = add(root, data_dir).card
    assert card.source == str(root.resolve())
    assert card.licence == "unknown"
    assert dict(card.defaults) == {"mirror": True}
    assert card.notes == ("ignored: 1 .txt, 1 hidden",)
    assert card.digests[LISTING] == open_source(root).listing
    assert (card.image.size, card.image.resize, card.image.fit) == (12, 12, "crop")


def test_the_manifest_has_the_digest_of_each_source_file(tmp_path: Path, data_dir: Path) -> None:
    files = tree()
    store = add(write_tree(tmp_path / "p", files), data_dir)
    lines = [json.loads(line) for line in (store.path / "manifest.jsonl").read_text().splitlines()]
    assert {line["name"]: line["sha256"] for line in lines} == {
        name: hashlib.sha256(data).hexdigest() for name, data in files.items()
    }


def test_one_folder_gets_a_fixed_stratified_test_split(tmp_path: Path, data_dir: Path) -> None:
    files = {f"{name}/{number}.png": solid((number, 0, 9)) for name in "ab" for number in range(20)} | {
        "c/1.png": solid()
    }
    root = write_tree(tmp_path / "p", files)
    store, again = add(root, data_dir), add(root, data_dir, name="again")
    assert dict(store.card.splits) == {"train": 33, "test": 8}
    assert np.bincount(store.split("test").labels, minlength=3).tolist() == [4, 4, 0]  # the only image of c is in train
    assert "stratified 20 %" in store.card.notes[0]
    assert (store.path / "manifest.jsonl").read_bytes() == (again.path / "manifest.jsonl").read_bytes()


def picture_names(store: Store) -> dict[str, set[str]]:
    """Return the source names of the images in each split."""
    names: dict[str, set[str]] = {split: set() for split in store.splits}
    for line in (store.path / "manifest.jsonl").read_text().splitlines():
        entry = json.loads(line)
        names[entry["split"]].add(entry["name"])
    return names


@pytest.mark.parametrize("pack", [write_tree, write_zip])
def test_identical_images_stay_in_one_split_and_are_counted(
    tmp_path: Path, data_dir: Path, pack: Callable[..., Path]
) -> None:
    """Twins have equal pixels, here from files with different bytes. Ten pairs of forty images were divided before."""
    files = {f"{name}/{n}.png": solid((n, len(name), 9)) for name in ("cat", "horse") for n in range(20)}
    files |= {
        f"{name}/copy-{n}.png": encode(Image.new("RGB", (12, 12), (n, len(name), 9)), compress_level=0)
        for name in ("cat", "horse")
        for n in range(5)
    }
    store = add(pack(tmp_path / "p", files), data_dir)
    names = picture_names(store)
    for name in ("cat", "horse"):
        for n in range(5):
            twins = {f"{name}/{n}.png", f"{name}/copy-{n}.png"}
            assert any(twins <= images for images in names.values())
    assert dict(store.card.splits) == {"train": 40, "test": 10}
    assert np.bincount(store.split("test").labels).tolist() == [5, 5]
    assert "10 pairs of identical images, each pair in one split" in store.card.notes


def test_identical_images_of_two_classes_stay_together(tmp_path: Path, data_dir: Path) -> None:
    files = {f"{name}/{number}.png": solid((number, 0, 9)) for name in "ab" for number in range(20)}
    store = add(write_tree(tmp_path / "p", files), data_dir)
    assert "20 pairs of identical images, each pair in one split; 20 pairs in two classes" in store.card.notes
    names = picture_names(store)
    assert {name.partition("/")[2] for name in names["test"]}.isdisjoint(
        name.partition("/")[2] for name in names["train"]
    )


def test_identical_images_across_given_splits_are_counted(tmp_path: Path, data_dir: Path) -> None:
    files = {**tree(), "test/dog/again.png": solid((1, 40, 0)), "train/cat/again.png": solid((2, 0, 0))}
    notes = add(write_tree(tmp_path / "p", files), data_dir).card.notes
    assert "2 pairs of identical images; 1 pair in two splits, where accuracy will be too good" in notes


def test_rows_of_one_group_stay_in_one_split(tmp_path: Path, data_dir: Path) -> None:
    """A patient has five images of each class, and two patients share an image."""
    lines = ["path,label,group"]
    for patient in range(10):
        for n in range(10):
            path = write_tree(tmp_path, {f"{patient}-{n}.png": solid((n, patient, 9))}) / f"{patient}-{n}.png"
            lines.append(f"{path.name},{'ab'[n % 2]},patient {patient}")
    (tmp_path / "0-0.png").write_bytes((tmp_path / "1-0.png").read_bytes())
    (tmp_path / "t.csv").write_text("\n".join(lines))
    store = add(tmp_path / "t.csv", data_dir)
    patients = {split: {name[0] for name in names} for split, names in picture_names(store).items()}
    assert patients["train"].isdisjoint(patients["test"])
    assert len(patients["test"]) == 2
    assert {"0", "1"} <= patients["train"] or {"0", "1"} <= patients["test"]
    assert "10 groups of images, each in one split" in store.card.notes


def test_train_alone_gets_a_test_split_too(tmp_path: Path, data_dir: Path) -> None:
    files = {f"train/{name}/{number}.png": solid((number, 0, 9)) for name in "ab" for number in range(10)}
    assert dict(add(write_tree(tmp_path / "p", files), data_dir).card.splits) == {"train": 16, "test": 4}


def test_train_and_val_stay_as_they_are(tmp_path: Path, data_dir: Path) -> None:
    files = {f"{split}/a/{n}.png": solid((n, 0, len(split))) for split in ("train", "val") for n in range(10)}
    card = add(write_tree(tmp_path / "p", files), data_dir).card
    assert dict(card.splits) == {"train": 10, "val": 10}
    assert card.notes == ("no test split: eval uses val",)


def test_splits_without_train_are_an_error(tmp_path: Path, data_dir: Path) -> None:
    root = write_tree(tmp_path / "p", {"val/a/1.png": solid(), "test/a/1.png": solid()})
    with pytest.raises(DataError, match="val and test, but no train"):
        add(root, data_dir)


def test_grey_images_are_stored_grey(tmp_path: Path, data_dir: Path) -> None:
    files = {"train/a/1.png": grey(1), "train/b/1.png": grey(3), "test/a/1.png": solid((200, 100, 50))}
    card = add(write_tree(tmp_path / "p", files), data_dir).card
    assert card.image.channels == 1
    assert card.image.mean == (round(2 / 255, 6),)
    assert dict(card.defaults) == {"mirror": False}
    assert open_store(data_dir, "x").split("test").images[0, 0, 0, 0] == 124  # the luma of a coloured test image


@pytest.mark.parametrize("late", [0, 1, 5, 9])
def test_one_coloured_training_image_makes_the_store_colour(tmp_path: Path, data_dir: Path, late: int) -> None:
    files = {f"train/a/{number}.png": grey(number) for number in range(10)} | {"test/a/1.png": grey(1)}
    files[f"train/a/{late}.png"] = solid((200, 100, 50))
    store = add(write_tree(tmp_path / "p", files), data_dir)
    assert store.card.image.channels == 3
    train = store.split("train").images
    assert train[late, 0, 0].tolist() == [200, 100, 50]
    assert train[9 if late != 9 else 8, 0, 0].tolist() == [9 if late != 9 else 8] * 3


def test_colour_in_the_test_split_does_not_make_the_store_colour(tmp_path: Path, data_dir: Path) -> None:
    files = {"test/a/1.png": solid((200, 100, 50)), "train/a/1.png": grey(7), "train/a/2.png": grey(7)}
    store = add(write_tar(tmp_path / "a.tar", files), data_dir)
    assert store.card.image.channels == 1
    assert (store.split("train").images == 7).all()


@pytest.mark.parametrize("size", [(12, 12), (64, 64), (1, 1), (28, 20)])
def test_one_small_size_is_kept(tmp_path: Path, data_dir: Path, size: tuple[int, int]) -> None:
    files = {f"a/{number}.png": solid((number, 1, 1), size) for number in range(4)}
    image = add(write_tree(tmp_path / "p", files), data_dir).card.image
    assert (image.size, image.resize) == (min(size), min(size))


@pytest.mark.parametrize("odd", [0, 2, 3])
def test_images_of_two_sizes_are_stored_as_photos(tmp_path: Path, data_dir: Path, odd: int) -> None:
    files = {f"a/{number}.png": solid((number + 1, 1, 1), (30, 30)) for number in range(4)}
    files[f"a/{odd}.png"] = solid((odd + 1, 1, 1), (30, 31))
    store = add(write_tree(tmp_path / "p", files), data_dir)
    assert (store.card.image.size, store.card.image.resize) == (224, 256)
    assert store.split("train").images.shape == (3, 256, 256, 3)


def test_size_and_colour_may_both_contradict_the_first_plan(tmp_path: Path, data_dir: Path) -> None:
    files = {"a/1.png": grey(9), "a/2.png": grey(9), "a/3.png": solid((9, 9, 8), (20, 40)), "a/4.png": grey(9)}
    image = add(write_tree(tmp_path / "p", files), data_dir).card.image
    assert image.resize == 256


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
def test_the_store_holds_what_predict_sees(tmp_path: Path, data_dir: Path, fit: Fit) -> None:
    """One function resizes both, so the pixels of the store and of `prepare` are bit-identical."""
    files = {f"train/a/{seed}.png": encode(photo(seed, (90 + seed, 70))) for seed in range(3)}
    files["train/a/9.jpg"] = encode(photo(9, (50, 120)), "JPEG")
    root = write_tree(tmp_path / "p", {**files, "test/a/1.png": solid()})
    for options in (Options(size=48, fit=fit), Options(fit=fit)):
        store = add(root, data_dir, options, name=f"{fit}{options.size}")
        spec = store.card.image
        assert (spec.size, spec.resize, spec.fit) == ((48, 48, fit) if options.size else (224, 256, fit))
        for row, name in enumerate(sorted(files)):
            stored = np.asarray(store.split("train").images[row])
            assert (prepare(root / name, spec) == prepare_array(stored, spec)).all()


CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BAD = {"train/a/2.png": b"no image", "train/b/0.png": b"", "test/a/0.png": encode(Image.new("F", (2, 2)), "TIFF")}


def spoiled() -> dict[str, bytes]:
    files = {
        f"{split}/{name}/{n}.png": solid((n, 1, 1)) for split in ("train", "test") for name in "ab" for n in range(4)
    }
    return {**files, **BAD}


@pytest.mark.parametrize("packed", [False, True])
def test_all_bad_images_are_listed_in_order(tmp_path: Path, data_dir: Path, packed: bool) -> None:
    files = dict(sorted(spoiled().items()))
    root = write_tar(tmp_path / "a.tar", files) if packed else write_tree(tmp_path / "p", files)
    with pytest.raises(DataError, match="3 of 16 images") as caught:
        add(root, data_dir)
    order = ["test/a/0.png", "train/a/2.png", "train/b/0.png"]
    assert [name for problem, name in zip(caught.value.problems, order, strict=True) if f"({name})" in problem] == order
    assert caught.value.hint == (Call("data add", (root,), {"on_bad_image": "skip"}, note="leaves them out"),)
    assert not list(data_dir.glob("*"))


def test_bad_images_can_be_skipped(tmp_path: Path, data_dir: Path) -> None:
    root = write_tree(tmp_path / "p", spoiled())
    store = add(root, data_dir, Options(on_bad_image="skip"))
    assert dict(store.card.splits) == {"train": 6, "test": 7}
    assert store.card.notes[0].startswith("skipped, because they cannot be read: 3: ")
    assert "train/a/2.png" in store.card.notes[0]
    assert "F" not in (store.path / "manifest.jsonl").read_text()


def test_a_file_that_vanishes_is_a_bad_image(tmp_path: Path, data_dir: Path) -> None:
    root = write_tree(tmp_path / "p", tree())
    (root / "train/cat/9.png").symlink_to("nowhere")
    with pytest.raises(DataError) as caught:
        add(root, data_dir)
    assert "no such file" in caught.value.problems[0]


@pytest.mark.parametrize("how", ["error", "skip"])
def test_a_source_of_only_bad_images_is_an_error(tmp_path: Path, data_dir: Path, how: str) -> None:
    root = write_tree(tmp_path / "p", {"a/1.png": b"", "b/1.png": b"?"})
    with pytest.raises(DataError, match="2 of 2 images"):
        add(root, data_dir, Options(on_bad_image=how))  # type: ignore[arg-type]


@pytest.mark.parametrize(("each", "note"), [(1, "no test split: no class has a second image"), (2, "test: a fixed")])
def test_the_note_mentions_a_test_split_only_if_it_exists(tmp_path: Path, data_dir: Path, each: int, note: str) -> None:
    files = {f"{label}/{number}.png": grey(number) for label in "ab" for number in range(each)}
    card = add(write_tree(tmp_path / "p", files), data_dir).card
    assert ("test" in card.splits) == (each > 1)
    assert card.notes[0].startswith(note)


def test_classes_with_too_few_images_to_split_are_noted(tmp_path: Path, data_dir: Path) -> None:
    files = {f"{label}/{row}.png": solid((row, ord(label), 0)) for label in "ab" for row in range(10)}
    card = add(write_tree(tmp_path / "p", files | {"c/0.png": solid()}), data_dir).card
    assert card.notes[1:] == ("classes without an image in test, too few images to split: c",)
    assert len(add(write_tree(tmp_path / "q", files), data_dir, name="y").card.notes) == 1


def test_classes_that_are_in_one_split_of_the_source_are_noted(tmp_path: Path, data_dir: Path) -> None:
    files = tree() | {"train/emu/1.png": solid(), "test/fox/1.png": solid((9, 9, 0))}
    assert add(write_tree(tmp_path / "p", files), data_dir).card.notes == (
        "classes without an image in train: fox",
        "classes without an image in test: emu",
    )


def test_many_bad_images_make_a_short_note(tmp_path: Path, data_dir: Path) -> None:
    files = {"a/good.png": solid(), "b/good.png": solid()} | {f"a/{number:02}.png": b"" for number in range(25)}
    (note,) = [
        note
        for note in add(write_tree(tmp_path / "p", files), data_dir, Options(on_bad_image="skip")).card.notes
        if "skipped" in note
    ]
    assert "read: 25: " in note
    assert note.endswith("and 5 more")


def test_animations_are_noted(tmp_path: Path, data_dir: Path) -> None:
    frames = [Image.new("RGB", (12, 12), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    moving = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    store = add(write_tree(tmp_path / "p", {**tree(), "train/cat/z.gif": moving}), data_dir)
    assert store.card.notes == ("animated images, of which the first frame is used: 1",)
    assert store.split("train").images[4, 0, 0].tolist() == [255, 0, 0]


def test_a_taken_name_is_refused(tmp_path: Path, data_dir: Path) -> None:
    root = write_tree(tmp_path / "p", tree())
    add(root, data_dir)
    with pytest.raises(UsageError):
        add(root, data_dir)
    assert add(root, data_dir, Options(replace=True, size=6)).card.image.size == 6


@pytest.mark.parametrize("cores", [1, 2])
def test_ingest_yields_progress(tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    monkeypatch.setattr(ingest_module, "REPORT_EVERY", 5)
    monkeypatch.setattr(parallel, "SHARE", 1)
    source = open_source(write_tree(tmp_path / "p", tree()))
    assert list(ingest(data_dir, "x", source=source, options=Options(), cores=cores)) == [5, 10, 12]


def many(**changes: bytes) -> dict[str, bytes]:
    """Return files for several chunks; `changes` replaces the content of some, by number."""
    files = {f"{name}/{number:02}.png": grey(number + 1) for number in range(20) for name in "ab"}
    return files | {f"a/{number.strip('_')}.png": data for number, data in changes.items()}


COLOUR = solid((200, 100, 50))
SAME = {
    "as guessed": (many(), Options()),
    "colour at the start": (many(_00=COLOUR), Options()),
    "colour in the middle": (many(_09=COLOUR), Options()),
    "another size at the end": (many(_19=grey(3, (13, 12))), Options()),
    "guessed wrong twice": (many(_05=COLOUR, _15=grey(3, (13, 12))), Options()),
    "colour in test alone": ({"test/a/0.png": COLOUR} | {f"train/{name}": grey(1) for name in many()}, Options()),
    "a size": (many(_05=COLOUR), Options(size=9, fit="pad")),
    "bad ones left out": (many(_00=b"", _07=b"?", _19=COLOUR[:40]), Options(on_bad_image="skip")),
    "bad ones": (many(_00=b"", _07=b"?", _19=COLOUR[:40]), Options()),
    "bad ones and a wrong guess": (many(_03=b"?", _07=COLOUR, _19=b""), Options()),
    "one bomb": (many(_03=encode(Image.new("1", (9000, 9000)))), Options()),
    "nothing but bad ones": (dict.fromkeys(many(), b"?"), Options(on_bad_image="skip")),
}


def result(root: Path, data_dir: Path, options: Options, cores: int) -> object:
    """Return all bytes of the store, or the whole error; nothing else may be in its folder."""
    try:
        list(ingest(data_dir, "x", source=open_source(root), options=options, cores=cores))
    except DataError as error:
        return str(error), error.problems, error.hint, error.exit_code, list(data_dir.glob("*"))
    contents = {path.name: path.read_bytes() for path in (data_dir / "x").iterdir()}
    shutil.rmtree(data_dir)
    return contents


@pytest.mark.parametrize(
    ("kind", "case"),
    [("folder", case) for case in SAME]
    + [(kind, case) for kind in ("tar.xz", "zip", "csv") for case in ("guessed wrong twice", "bad ones left out")],
)
def test_two_processes_store_the_same_bytes_as_one(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch, kind: str, case: str
) -> None:
    files, options = SAME[case]
    monkeypatch.setattr(parallel, "SHARE", 1)
    monkeypatch.setattr(parallel, "CHUNK_IMAGES", 3)
    if kind == "tar.xz":
        root = write_tar(tmp_path / "a", files, mode="w:xz")
    elif kind == "zip":
        root = write_zip(tmp_path / "a", files)
    else:
        root = write_tree(tmp_path / "p", files)
    if kind == "csv":
        root = root / "list.csv"
        root.write_text("path,label\n" + "".join(f"{name},{name.split('/')[-2]}\n" for name in sorted(files)))
    alone = result(root, data_dir, options, 1)
    assert alone == result(root, data_dir, options, 2)
    assert isinstance(alone, dict) or case in (
        "bad ones",
        "bad ones and a wrong guess",
        "one bomb",
        "nothing but bad ones",
    )


@pytest.mark.parametrize("cores", [1, 2])
def test_a_zip_with_damage_near_its_end_is_an_error(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    """The error says that the archive is damaged, also after other problems, and nothing is left."""
    files = many(_05=b"?", _07=COLOUR)
    path = write_zip(tmp_path / "a.zip", files, compression=zipfile.ZIP_STORED)
    data = path.read_bytes()
    place = data.rindex(grey(20))  # the pixels of the last image
    path.write_bytes(data[: place + 60] + b"\xff\xff" + data[place + 62 :])
    monkeypatch.setattr(parallel, "SHARE", 1)
    with pytest.raises(DataError, match=r"archive is damaged: '[ab]/19.png': Bad CRC-32"):
        list(ingest(data_dir, "x", source=open_source(path), options=Options(), cores=cores))
    assert not list(data_dir.glob("*"))


@pytest.mark.certify
def test_real_pictures_are_stored_from_one_archive(shared_data: Path, data_dir: Path) -> None:
    """CIFAR-10 as 60,000 JPEG files in one archive, decoded by two workers."""
    archive = shared_data / "cifar10-jpeg.tar.xz"
    list(ingest(data_dir, "x", source=open_source(archive), options=Options(), cores=2))
    store = open_store(data_dir, "x")
    card = store.card
    assert dict(card.splits) == {"train": 50_000, "test": 10_000}
    assert card.classes == CIFAR10
    assert (card.image.size, card.image.resize, card.image.channels) == (32, 32, 3)
    assert card.image.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=1e-3)  # mean of the original files
    assert np.bincount(store.split("train").labels).tolist() == [5000] * 10
    assert np.bincount(store.split("test").labels).tolist() == [1000] * 10
