"""`data add` chooses names, passes options on, and works with two processes at once."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.pictures import tree, write_tree, write_zip
from support.toy_dataset import Toy, done, run

from resnetctl.data.cards import store_names
from resnetctl.data.ingest.images import ingest
from resnetctl.data.reading.sniff import open_source
from resnetctl.data.storage.options import Options
from resnetctl.data.store import open_store
from resnetctl.errors import DataError, UsageError
from resnetctl.facts import Doing, Notice, Progress
from resnetctl.hints import Call, Setting
from resnetctl.system import storage
from resnetctl.system.settings import Settings
from resnetctl.tasks.data.add import AddRequest, add
from resnetctl.tasks.data.get import get
from resnetctl.tasks.datasets import ensure


def request(path: Path, name: str = "pets", **options: Any) -> AddRequest:
    return AddRequest(path=path, name=name, **options)


def test_add_yields_its_progress(tmp_path: Path, settings: Settings) -> None:
    root = write_tree(tmp_path / "p", tree())
    report, facts = run(add(request(root), settings))
    assert (report.schema, report.name, report.done) == ("resnetctl.data.add/1", "pets", True)
    assert report.card == open_store(settings.data_dir, "pets").card
    assert facts == [Doing(text=f"reading {root}"), Progress(what="adding pets", done=12, total=12, unit="images")]


def test_add_passes_its_options_to_ingest(tmp_path: Path, settings: Settings) -> None:
    root = write_tree(tmp_path / "p", {**tree(), "train/cat/bad.png": b""})
    report = done(add(request(root, size=6, fit="pad", on_bad_image="skip"), settings))
    assert report.card is not None
    assert (report.card.image.size, report.card.image.fit, report.card.splits["train"]) == (6, "pad", 8)
    facts = run(add(request(root, replace=True), settings))[1]
    assert Notice(text="stored as before: 6 px, fit pad, without images that cannot be read") in facts


def test_a_replaced_dataset_has_the_size_of_before(tmp_path: Path, settings: Settings) -> None:
    root = write_tree(tmp_path / "p", tree())
    done(add(request(root, size=6, fit="pad"), settings))
    report, facts = run(add(request(root, replace=True), settings))
    assert (report.card.image.size, report.card.image.fit) == (6, "pad")
    assert Notice(text="stored as before: 6 px, fit pad") in facts
    report, facts = run(add(request(root, replace=True, size=8), settings))
    assert report.card.image.size == 8
    assert not any("as before" in fact.text for fact in facts if isinstance(fact, Notice))


def test_the_hint_on_bad_images_repeats_what_was_asked_for(tmp_path: Path, settings: Settings) -> None:
    root = write_tree(tmp_path / "p", {**tree(), "train/cat/bad.png": b"no image"})
    with pytest.raises(DataError, match="cannot be read") as caught:
        done(add(request(root, "pets64", size=6), settings))
    options = {"size": 6, "name": "pets64", "on_bad_image": "skip"}
    assert caught.value.hint == (Call("data add", (root,), options, note="leaves them out"),)
    with pytest.raises(DataError, match="cannot be read") as caught:
        done(ensure(str(root), settings))
    plain = Call("data add", (root,), {"on_bad_image": "skip"}, note="leaves them out")
    assert caught.value.hint == (plain, Setting("data", "p", note="then uses it"))


def test_a_damaged_dataset_is_replaced_all_the_same(tmp_path: Path, settings: Settings) -> None:
    root = write_tree(tmp_path / "p", tree())
    done(add(request(root, size=6), settings))
    (settings.data_dir / "pets" / "card.json").write_text("{")
    assert done(add(request(root, replace=True), settings)).done


def test_add_keeps_files_where_asked_and_where_pixels_would_fill_the_disk(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_tree(tmp_path / "p", tree())
    asked = done(add(request(root, storage="jpeg"), settings)).card
    assert asked is not None
    assert (asked.storage, asked.notes) == ("jpeg", ())
    monkeypatch.setattr(storage, "free_space", lambda folder: 4000)  # the pixels need 5,184 bytes, the files less
    chosen = done(add(request(root, "auto", size=24), settings)).card
    assert chosen is not None
    assert chosen.storage == "jpeg"
    assert chosen.notes[0].startswith("stored as the original files: pixels would need 0.0 GB")


def test_an_add_of_files_that_is_killed_leaves_the_old_dataset(tmp_path: Path, settings: Settings) -> None:
    root = write_tree(tmp_path / "p", tree())
    before = done(add(request(root, storage="jpeg"), settings)).card
    work = ingest(
        settings.data_dir,
        "pets",
        source=open_source(write_tree(tmp_path / "q", tree(train=120))),
        options=Options(storage="jpeg", replace=True),
    )
    next(work)  # 200 images are written
    work.close()
    assert [path.name for path in settings.data_dir.iterdir()] == ["pets"]
    assert open_store(settings.data_dir, "pets").card == before


def test_add_derives_the_same_name_from_a_path_as_train(tmp_path: Path, settings: Settings) -> None:
    root = write_tree(tmp_path / "My Pets", tree())
    assert done(add(AddRequest(path=root), settings)).name == "my-pets"
    assert run(ensure(str(root), settings))[0] == "my-pets"
    assert done(add(AddRequest(path=write_tree(tmp_path / "digits", tree())), settings)).name == "digits-local"


def test_add_of_another_folder_with_the_same_name_suggests_another_name(tmp_path: Path, settings: Settings) -> None:
    done(add(AddRequest(path=write_tree(tmp_path / "a" / "pets", tree())), settings))
    with pytest.raises(UsageError, match="by a dataset from") as caught:
        done(add(AddRequest(path=write_tree(tmp_path / "b" / "pets", tree())), settings))
    assert caught.value.hint == (Call("data add", (tmp_path / "b/pets",), {"name": "OTHER"}),)
    with pytest.raises(DataError, match="no such file"):
        done(add(AddRequest(path=tmp_path / "typo" / "pets"), settings))


def test_add_expands_the_home_folder(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(tmp_path / "pets", tree())
    monkeypatch.setenv("HOME", str(tmp_path))
    assert done(add(AddRequest(path=Path("~/pets")), settings)).name == "pets"


def test_add_warns_about_a_single_class(tmp_path: Path, settings: Settings) -> None:
    root = write_tree(tmp_path / "p", {name: image for name, image in tree().items() if "/cat/" in name})
    report, facts = run(add(request(root), settings))
    assert report.card is not None
    assert report.card.classes == ("cat",)
    assert any(isinstance(fact, Notice) and fact.text.startswith("there is one class, 'cat'") for fact in facts)


def test_add_refuses_a_taken_name_without_replace(tmp_path: Path, settings: Settings) -> None:
    root = write_tree(tmp_path / "p", tree())
    done(add(request(root), settings))
    with pytest.raises(UsageError) as caught:
        done(add(request(root), settings))
    assert caught.value.exit_code == 2
    assert Setting("replace", note="replaces it") in caught.value.hint
    assert done(add(request(root, replace=True), settings)).done


def test_the_slower_of_two_processes_gets_an_error(tmp_path: Path, settings: Settings) -> None:
    work = add(request(write_tree(tmp_path / "p", tree())), settings)
    next(work)
    done(add(request(tmp_path / "p"), settings))
    with pytest.raises(UsageError, match="is already in the store"):
        done(work)
    assert [path.name for path in settings.data_dir.iterdir()] == ["pets"]


@pytest.mark.parametrize("name", ["digits", "cifar10", "../x", "a b", ""])
def test_add_refuses_names_of_plugins_and_invalid_names(tmp_path: Path, settings: Settings, name: str) -> None:
    with pytest.raises(UsageError):
        done(add(request(write_tree(tmp_path / "p", tree()), name), settings))
    assert store_names(settings.data_dir) == []


@pytest.mark.parametrize(("threads", "cores"), [(0, 5), (3, 3)])
def test_add_uses_the_granted_cores_or_the_set_threads(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, threads: int, cores: int
) -> None:
    asked = []

    def ingest(*_: object, **options: Any) -> Iterator[int]:
        asked.append(options["cores"])
        raise DataError("enough")
        yield 0

    monkeypatch.setattr("resnetctl.data.ingest.images.ingest", ingest)
    monkeypatch.setattr("resnetctl.system.machine.cores_granted", lambda: 5)
    with pytest.raises(DataError, match="enough"):
        done(add(request(write_tree(tmp_path / "p", tree())), dataclasses.replace(settings, threads=threads)))
    assert asked == [cores]


@pytest.mark.parametrize("place", ["file", "file/data"])
def test_an_unwritable_data_folder_is_an_error_before_reading(
    toy: Toy, settings: Settings, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").write_bytes(b"")
    elsewhere = dataclasses.replace(settings, data_dir=tmp_path / place)
    root = write_tree(tmp_path / "p", tree())
    for work in (get("toy", elsewhere), add(request(root), elsewhere)):
        with pytest.raises(UsageError, match="cannot write") as caught:
            next(work)
        assert caught.value.exit_code == 2
        assert "RESNETCTL_DATA_DIR=FOLDER" in caught.value.hint[0]


@pytest.mark.parametrize("pack", [write_tree, write_zip])
def test_what_is_skipped_is_counted_and_an_empty_class_is_named(
    tmp_path: Path, settings: Settings, pack: Callable[..., Path]
) -> None:
    files = {**tree(), "train/bird/1.heix": b"x", "train/bird/2.heix": b"x", "train/cat/notes.txt": b"x"}
    _, facts = run(add(AddRequest(path=pack(tmp_path / "p.zip", files), name="pets"), settings))
    texts = [fact.text for fact in facts if isinstance(fact, Notice)]
    names = "train/bird/1.heix, train/bird/2.heix, train/cat/notes.txt"
    assert f"skipped 3 files (.heix: 2, .txt: 1): {names}" in texts
    assert "class folders without an image that can be read here: 'train/bird'" in texts


def test_a_class_of_bad_images_only_is_named(tmp_path: Path, settings: Settings) -> None:
    root = write_tree(tmp_path / "p", {**tree(), "train/bird/1.png": b"x"})
    report = done(add(AddRequest(path=root, on_bad_image="skip"), settings))
    assert "classes without an image that can be read: bird" in report.card.notes
