import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from resnetctl import registry, rng
from resnetctl.data.datasets.digits import FILE, digits
from resnetctl.errors import DataError
from resnetctl.hints import Call
from resnetctl.system import storage


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return digits.fetch(tmp_path / "cache")


def test_images_and_labels_are_those_of_scikit_learn(path: Path) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    published = datasets.load_digits()
    with np.load(path, allow_pickle=False) as file:
        np.testing.assert_array_equal(file["images"], published.images)
        np.testing.assert_array_equal(file["labels"], published.target)
        is_test = file["test"]
    for split, chosen in (("train", ~is_test), ("test", is_test)):
        images, names = zip(*digits.read(path, split), strict=True)
        want = [[[round(v * 255 / 16) for v in row] for row in image] for image in published.images[chosen].tolist()]
        np.testing.assert_array_equal(np.stack(images)[..., 0], want)
        assert list(names) == [str(label) for label in published.target[chosen]]


def test_images_are_grey_and_use_the_whole_range(path: Path) -> None:
    images = np.stack([image for image, _ in digits.read(path, "train")])
    assert images.dtype == np.uint8
    assert images.shape == (1438, 8, 8, 1)
    assert (images.min(), images.max()) == (0, 255)
    assert len(np.unique(images)) == 17


def test_the_test_split_follows_the_documented_rule(path: Path) -> None:
    with np.load(path, allow_pickle=False) as file:
        labels, is_test = file["labels"], file["test"]
    for label in range(10):
        members = np.flatnonzero(labels == label).tolist()
        first = sorted(members, key=lambda index: rng.derive(0, "digits test", index))[: round(0.2 * len(members))]
        assert np.flatnonzero(is_test & (labels == label)).tolist() == sorted(first)


def test_the_card_matches_the_images(path: Path) -> None:
    card = digits.card
    counts = {split: Counter(name for _, name in digits.read(path, split)) for split in ("train", "test")}
    assert {split: count.total() for split, count in counts.items()} == dict(card.splits)
    assert all(set(count) == set(card.classes) for count in counts.values())
    assert card.digests == {FILE: f"sha256:{storage.sha256(path)}"}
    train = np.stack([image for image, _ in digits.read(path, "train")]) / 255
    assert card.image.mean[0] == pytest.approx(train.mean(), abs=5e-5)
    assert card.image.std[0] == pytest.approx(train.std(), abs=5e-5)
    assert card.defaults["mirror"] is False


def test_there_is_no_val_split(path: Path) -> None:
    assert list(digits.read(path, "val")) == []


def test_a_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="embedded") as raised:
        digits.fetch(tmp_path, tmp_path / "digits.csv")
    assert raised.value.hint == (Call("data get", ("digits",)),)


def test_the_file_is_small_and_has_its_licence_beside_it(path: Path) -> None:
    assert path.stat().st_size < 60_000
    attribution = path.with_name("digits.LICENSE.txt").read_text()
    assert "CC BY 4.0" in attribution
    assert "Alpaydin" in attribution


def test_the_dataset_is_registered_without_importing_numpy_or_torch() -> None:
    assert registry.get("dataset", "digits") is digits
    code = (
        "import sys; from resnetctl.data.datasets import cifar, digits, mnist;"
        "sys.exit(bool({'numpy', 'torch', 'PIL'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
