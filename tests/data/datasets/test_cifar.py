import dataclasses
import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnetctl import registry
from resnetctl.data.datasets.cifar import BinaryForm, Cifar, Form, PythonForm, cifar10, cifar100
from resnetctl.errors import DataError
from resnetctl.hints import in_shell
from resnetctl.system import storage
from resnetctl.system.download import Remote

TRAIN, TEST = 20, 4  # images in these small copies: 4 per batch; the archives have 10,000


def pickled(pixels: np.ndarray[Any, Any], labels: list[int], key: str) -> bytes:
    import pickle

    return pickle.dumps({"data": pixels, key: labels, "filenames": [b"x.png"] * len(labels)}, 3)


def content(form: Form, pixels: np.ndarray[Any, Any], labels: list[int]) -> bytes:
    if isinstance(form, PythonForm):
        return pickled(pixels, labels, form.label_key)
    assert isinstance(form, BinaryForm)
    coarse = b"\x05" * (form.label_bytes - 1)
    return b"".join(coarse + bytes([label]) + row.tobytes() for row, label in zip(pixels, labels, strict=True))


@dataclasses.dataclass(frozen=True)
class Copy:
    """A small dataset in both forms, each as an archive and as a folder."""

    plugin: Cifar
    pixels: dict[str, np.ndarray[Any, Any]]
    labels: dict[str, list[int]]
    sources: dict[str, Path]

    def expected(self, split: str) -> tuple[np.ndarray[Any, Any], list[str]]:
        names = [self.plugin.card.classes[label] for label in self.labels[split]]
        return self.pixels[split].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), names


def pack(folder: Path, archive: Path) -> None:
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted(folder.iterdir(), reverse=True):  # the archives have another order than the readers
            tar.add(path, f"{folder.name}/{path.name}")


def small(plugin: Cifar, root: Path) -> Copy:
    generator = np.random.default_rng(0)
    counts = {"train": TRAIN, "test": TEST}
    pixels = {split: generator.integers(0, 256, (n, 3072), np.uint8) for split, n in counts.items()}
    labels = {split: generator.integers(0, len(plugin.card.classes), n).tolist() for split, n in counts.items()}
    forms, sources = [], {}
    for form in plugin.forms:
        folder = root / form.folder
        folder.mkdir()
        (folder / "readme.html").write_text("not read")
        for split, names in form.members.items():
            parts = zip(names, np.array_split(np.arange(counts[split]), len(names)), strict=True)
            for name, rows in parts:
                (folder / name).write_bytes(content(form, pixels[split][rows], [labels[split][row] for row in rows]))
        archive = root / form.archive.name
        pack(folder, archive)
        remote = Remote(name=archive.name, urls=(), digest=f"sha256:{storage.sha256(archive)}")
        forms.append(dataclasses.replace(form, archive=remote))
        sources |= {f"{type(form).__name__} archive": archive, f"{type(form).__name__} folder": folder}
    card = dataclasses.replace(plugin.card, splits=counts)
    return Copy(dataclasses.replace(plugin, card=card, forms=tuple(forms)), pixels, labels, sources)


@pytest.fixture(params=[cifar10, cifar100], ids=["cifar10", "cifar100"])
def copy(request: pytest.FixtureRequest, tmp_path: Path) -> Copy:
    return small(request.param, tmp_path)


@pytest.fixture
def copy10(tmp_path: Path) -> Copy:
    return small(cifar10, tmp_path)


@pytest.mark.parametrize(
    "source", ["BinaryForm archive", "BinaryForm folder", "PythonForm archive", "PythonForm folder"]
)
def test_every_form_gives_the_same_images_in_the_same_order(copy: Copy, source: str, tmp_path: Path) -> None:
    path = copy.plugin.fetch(tmp_path / "cache", copy.sources[source])
    for split in ("train", "test"):
        images, names = zip(*copy.plugin.read(path, split), strict=True)
        wanted_images, wanted_names = copy.expected(split)
        np.testing.assert_array_equal(np.stack(images), wanted_images)
        assert images[0].dtype == np.uint8
        assert images[0].flags.c_contiguous
        assert list(names) == wanted_names
    assert list(copy.plugin.read(path, "val")) == []
    assert not (tmp_path / "cache").exists()


def test_the_data_folder_may_lie_in_another_folder(copy: Copy, tmp_path: Path) -> None:
    assert len(list(copy.plugin.read(copy.plugin.fetch(tmp_path, tmp_path), "train"))) == TRAIN


def test_a_renamed_archive_is_identified_by_its_digest(copy: Copy, tmp_path: Path) -> None:
    renamed = copy.sources["PythonForm archive"].rename(tmp_path / "mine.bin")
    assert len(list(copy.plugin.read(copy.plugin.fetch(tmp_path, renamed), "test"))) == TEST


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: data + b"x", lambda data: data[: len(data) // 2]]
)
@pytest.mark.parametrize("source", ["BinaryForm archive", "PythonForm archive"])
def test_an_archive_with_another_digest_is_refused(copy10: Copy, tmp_path: Path, source: str, damage: Any) -> None:
    archive = copy10.sources[source]
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(DataError, match="not a published archive") as raised:
        copy10.plugin.fetch(tmp_path, archive)
    text = " ".join(raised.value.problems)
    assert storage.sha256(archive) in text
    assert all(form.archive.digest in text for form in copy10.plugin.forms)


def test_read_verifies_the_archive_again(copy10: Copy, tmp_path: Path) -> None:
    path = copy10.plugin.fetch(tmp_path, copy10.sources["PythonForm archive"])
    path.write_bytes(path.read_bytes() + b"swapped")
    with pytest.raises(DataError, match="not a published archive"):
        next(copy10.plugin.read(path, "train"))


def test_the_error_for_an_incomplete_folder_lists_the_needed_files(copy10: Copy, tmp_path: Path) -> None:
    folder = copy10.sources["BinaryForm folder"]
    (folder / "data_batch_3.bin").unlink()
    with pytest.raises(DataError, match="lacks files") as raised:
        copy10.plugin.fetch(tmp_path / "cache", folder)
    assert "data_batch_3.bin" in raised.value.problems[0]
    assert raised.value.exit_code == 3


def test_a_missing_source_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        cifar10.fetch(tmp_path, tmp_path / "gone.tar.gz")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-1], "not a multiple of"),
        (lambda data: data[: 3 * 3073], "3 images and 3 labels, expected 4"),
        (lambda data: data + data[:3073], "more than 12,292 bytes"),
        (lambda data: b"\x0a" + data[1:], "label 10 is not below 10"),
        (lambda data: b"", "0 images"),
    ],
)
def test_the_structure_of_a_binary_folder_is_checked(copy10: Copy, damage: Any, message: str) -> None:
    folder = copy10.sources["BinaryForm folder"]
    batch = folder / "data_batch_1.bin"
    batch.write_bytes(damage(batch.read_bytes()))
    with pytest.raises(DataError, match=message) as raised:
        list(copy10.plugin.read(folder, "train"))
    assert "data_batch_1.bin" in str(raised.value.where)


@pytest.mark.parametrize(
    ("pixels", "labels", "message"),
    [
        (np.zeros((4, 3072), np.uint8), [0, 1, 2, 10], "label 10"),
        (np.zeros((4, 3072), np.uint8), [0, 1, 2, -1], "label -1"),
        (np.zeros((4, 3072), np.uint8), [0, 1, 2], "4 images and 3 labels"),
        (np.zeros((3, 3072), np.uint8), [0, 1, 2], "expected 4"),
        (np.zeros((4, 3000), np.uint8), [0] * 4, "3,072 columns"),
        (np.zeros((4, 3072), np.int8), [0] * 4, "refused"),
        ([[0] * 3072] * 4, [0] * 4, "not an array"),
        (np.zeros((4, 3072), np.uint8), [0, 1, 2, True], "list of integers"),
        (np.zeros((4, 3072), np.uint8), "0123", "list of integers"),
    ],
)
def test_the_structure_of_a_python_folder_is_checked(copy10: Copy, pixels: Any, labels: Any, message: str) -> None:
    folder = copy10.sources["PythonForm folder"]
    (folder / "data_batch_1").write_bytes(pickled(pixels, labels, "labels"))
    with pytest.raises(DataError, match=message):
        list(copy10.plugin.read(folder, "train"))


def test_a_hostile_pickle_in_a_folder_runs_nothing(copy10: Copy, tmp_path: Path) -> None:
    folder, canary = copy10.sources["PythonForm folder"], tmp_path / "canary"
    (folder / "test_batch").write_bytes(b"cos\nsystem\n(S'touch " + str(canary).encode() + b"'\ntR.")
    with pytest.raises(DataError, match=r"os\.system, which is not allowed"):
        list(copy10.plugin.read(folder, "test"))
    assert not canary.exists()


def test_an_archive_that_unpacks_to_too_many_bytes_is_refused(copy10: Copy, tmp_path: Path) -> None:
    form, archive = copy10.plugin.forms[0], tmp_path / "bomb.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        info = tarfile.TarInfo("filler")
        info.size = 5_000_000
        tar.addfile(info, io.BytesIO(bytes(info.size)))
    remote = dataclasses.replace(form.archive, digest=f"sha256:{storage.sha256(archive)}")
    plugin = dataclasses.replace(copy10.plugin, forms=(dataclasses.replace(form, archive=remote),))
    with pytest.raises(DataError, match="more bytes than the published"):
        list(plugin.read(plugin.fetch(tmp_path, archive), "train"))


def test_read_opens_one_file_at_a_time(copy10: Copy) -> None:
    folder = copy10.sources["BinaryForm folder"]
    (folder / "data_batch_2.bin").write_bytes(b"broken")
    images = copy10.plugin.read(folder, "train")
    for _ in range(TRAIN // 5):
        next(images)
    with pytest.raises(DataError, match="data_batch_2"):
        next(images)


def test_without_a_network_the_error_offers_two_alternatives(copy10: Copy, tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        copy10.plugin.fetch(tmp_path / "cache")  # no address of the copy is reachable
    first, second = map(in_shell, raised.value.hint)
    assert first.startswith("resnetctl data get cifar10 --from cifar-10-binary.tar.gz")
    assert second.startswith("resnetctl train --data digits")
    assert raised.value.exit_code == 3
    assert not (tmp_path / "cache").exists()


def test_a_downloaded_archive_in_the_cache_is_used(copy10: Copy, tmp_path: Path) -> None:
    cached = tmp_path / "cache" / "cifar10" / "cifar-10-binary.tar.gz"
    cached.parent.mkdir(parents=True)
    copy10.sources["BinaryForm archive"].rename(cached)
    assert copy10.plugin.fetch(tmp_path / "cache") == cached


@pytest.mark.parametrize("plugin", [cifar10, cifar100])
def test_cards_have_the_published_counts_and_digests(plugin: Cifar) -> None:
    card = plugin.card
    assert registry.get("dataset", card.name) is plugin
    assert card.splits == {"train": 50_000, "test": 10_000}
    assert (card.image.size, card.image.channels) == (32, 3)
    assert card.defaults == {"augment": "standard", "epochs": 200, "mirror": True}
    assert [type(form) for form in plugin.forms] == [BinaryForm, PythonForm]
    for form in plugin.forms:
        assert form.archive.urls == (f"https://www.cs.toronto.edu/~kriz/{form.archive.name}",)
        assert card.digests[form.archive.name] == form.archive.digest
        kind, _, value = form.archive.digest.partition(":")
        assert len(value) == {"sha256": 64, "md5": 32}[kind]
        assert all(card.splits[split] % len(names) == 0 for split, names in form.members.items())
