"""The gate sees original files where they still are, and stored images elsewhere."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.trained import make_pictures, make_store

from resnetctl.data.splits import open_eval_set
from resnetctl.data.store import open_store
from resnetctl.deploy.raw import originals
from resnetctl.deploy.raw.originals import of_folder, of_store
from resnetctl.system import settings
from resnetctl.tasks.data.add import AddRequest, add


def test_pictures_of_a_folder_keep_their_size(tmp_path: Path) -> None:
    problems: list[str] = []
    (make_pictures(tmp_path / "p", 3) / "broken.png").write_bytes(b"no picture")
    pictures = of_folder(tmp_path / "p", 3, count=74, problems=problems)
    assert [picture.shape for picture in pictures] == [(9, 12, 3), (10, 12, 3), (11, 12, 3)]
    assert len(problems) == 1
    assert len(of_folder(tmp_path / "p", 3, count=2, problems=[])) == 2


def test_pictures_are_held_up_to_a_number_of_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(originals, "MAX_BYTES", 400)
    assert len(of_folder(make_pictures(tmp_path / "p"), 3, count=74, problems=[])) == 2


def test_a_dataset_without_files_gives_its_stored_images() -> None:
    store = make_store()
    images = open_eval_set(store, "test", val_split=None)
    pictures, count = of_store(store, images, channels=3)
    assert (len(pictures), count) == (36, 0)
    assert np.array_equal(pictures[0], np.repeat(images.images[0], 3, axis=2))


def photos(folder: Path) -> Path:
    for label, name in enumerate(("cat", "dog")):
        for number in range(8):
            file = folder / name / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (30, 20 + number), (9 * number, 80 * label, 7)).save(file)
    return folder


def test_a_dataset_made_of_files_gives_the_original_files(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    for _ in add(AddRequest(path=folder, name="pets", size=16), settings.load()):
        pass
    store = open_store(settings.load().data_dir, "pets")
    images = open_eval_set(store, "test", val_split=None)
    pictures, count = of_store(store, images, channels=3)
    assert count == len(images) > 0
    assert Counter(picture.shape[1] for picture in pictures) == {30: count}
    for file in folder.rglob("*.png"):
        file.unlink()
    pictures, count = of_store(store, images, channels=3)
    assert (count, pictures[0].shape) == (0, (16, 16, 3))
