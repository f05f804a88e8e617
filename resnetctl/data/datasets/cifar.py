"""CIFAR-10 and CIFAR-100: 60,000 colour photographs of 32x32 pixels.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009,
https://www.cs.toronto.edu/~kriz/cifar.html, which describes both forms. The binary form is preferred, because it is
plain bytes. The Python form, which most people have, is read by an unpickler that can only create arrays.
An archive must have a published digest. An unpacked folder is checked by its structure: sizes, counts, labels.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnetctl.data.datasets import files, pickles
from resnetctl.data.datasets.cifar_names import CIFAR10, CIFAR100
from resnetctl.errors import DataError
from resnetctl.spec import DatasetCard, ImageSpec, Split
from resnetctl.system import download

if TYPE_CHECKING:
    import numpy as np

SIZE = 32
PIXELS = 3 * SIZE * SIZE  # R, G and B planes, row-major
ADDRESS = "https://www.cs.toronto.edu/~kriz"


@dataclass(frozen=True, kw_only=True)
class Form(ABC):
    """One of the two published forms of a dataset.

    Args:
        archive: the published archive.
        folder: the only folder inside the archive.
        members: files of each split, in reading order; all files of a split have the same number of images.
    """

    archive: download.Remote
    folder: str
    members: Mapping[Split, tuple[str, ...]]

    @abstractmethod
    def limit(self, images: int) -> int:
        """Return the largest allowed size, in bytes, of a member with `images` images."""

    @abstractmethod
    def decode(self, data: bytes, where: str) -> tuple["np.ndarray[Any, Any]", Sequence[int]]:
        """Return pixels `(N, 3072)` uint8 and N labels. Raises `DataError` when `data` has a different structure."""


@dataclass(frozen=True, kw_only=True)
class BinaryForm(Form):
    """Records of `label_bytes` bytes and 3,072 pixels. The last of the label bytes is the label."""

    label_bytes: int

    def limit(self, images: int) -> int:
        return images * (self.label_bytes + PIXELS)

    def decode(self, data: bytes, where: str) -> tuple["np.ndarray[Any, Any]", Sequence[int]]:
        import numpy as np

        record = self.label_bytes + PIXELS
        if len(data) % record:
            raise DataError(f"{len(data):,} bytes are not a multiple of {record:,}, the size of a record", where=where)
        rows = np.frombuffer(data, np.uint8).reshape(-1, record)
        return rows[:, self.label_bytes :], rows[:, self.label_bytes - 1].tolist()


@dataclass(frozen=True, kw_only=True)
class PythonForm(Form):
    """A pickled dictionary with the pixels under `data` and the labels under `label_key`."""

    label_key: str

    def limit(self, images: int) -> int:
        return images * (PIXELS + 128) + (1 << 20)  # the published files have 33 bytes per image besides the pixels

    def decode(self, data: bytes, where: str) -> tuple["np.ndarray[Any, Any]", Sequence[int]]:
        import numpy as np

        table = pickles.load_table(data, where=where)
        pixels, labels = table.get("data"), table.get(self.label_key)
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (PIXELS,):
            raise DataError(f"'data' is not an array of uint8 with {PIXELS:,} columns", where=where)
        if not isinstance(labels, list) or not all(type(label) is int for label in labels):
            raise DataError(f"'{self.label_key}' is not a list of integers", where=where)
        return pixels, labels


@dataclass(frozen=True, kw_only=True)
class Cifar:
    """The dataset plugin. `forms` are tried in order; a download gets the first."""

    card: DatasetCard
    forms: tuple[Form, ...]

    def fetch(self, cache: Path, source: Path | None = None) -> Path:
        """Return the path of `source`, or of the archive of the first form, downloaded into `cache`.

        Raises:
            DataError: the archive is not a published one, the folder lacks files, or the download fails.
        """
        if source is not None:
            files.must_exist(source, dataset=self.card.name)
            self._form_of(source)
            return source
        archive = self.forms[0].archive
        hint = files.without_network(self.card.name, archive.name)
        return download.fetch(archive, cache / self.card.name, hint=hint)

    def read(self, path: Path, split: Split) -> Iterator[tuple["np.ndarray[Any, Any]", str]]:
        """Yield `(32, 32, 3)` uint8 images and class names in the published order, which is the same in every form.

        Only one file is in memory at a time. Raises `DataError` for a damaged file, a number of images other than
        published, or an unknown label.
        """
        form = self._form_of(path)
        members = form.members.get(split, ())
        for name in members:
            yield from self._images(form, path, name=name, count=self.card.splits[split] // len(members))

    def _images(self, form: Form, path: Path, *, name: str, count: int) -> Iterator[tuple["np.ndarray[Any, Any]", str]]:
        import numpy as np

        data = self._content(form, path, name=name, limit=form.limit(count))
        pixels, labels = form.decode(data, f"{path}: {name}")
        if not len(pixels) == len(labels) == count:
            raise DataError(
                f"{len(pixels):,} images and {len(labels):,} labels, expected {count:,}", where=f"{path}: {name}"
            )
        for row, label in zip(pixels, labels, strict=True):
            if not 0 <= label < len(self.card.classes):
                raise DataError(f"label {label} is not below {len(self.card.classes)}", where=f"{path}: {name}")
            yield np.ascontiguousarray(row.reshape(3, SIZE, SIZE).transpose(1, 2, 0)), self.card.classes[label]

    def _content(self, form: Form, path: Path, *, name: str, limit: int) -> bytes:
        if path.is_dir():
            folder = self._folder_of(form, path)
            assert folder is not None, "_form_of has checked it"
            return files.read_file(folder / name, limit=limit)
        total = sum(self.card.splits.values())
        unpacked = form.limit(total) + (1 << 20)
        return files.read_tar_member(path, f"{form.folder}/{name}", limit=limit, unpacked=unpacked)

    def _form_of(self, path: Path) -> Form:
        if path.is_dir():
            for form in self.forms:
                if self._folder_of(form, path) is not None:
                    return form
            needed = [", ".join(_names(form)) for form in self.forms]
            raise DataError(
                f"the folder lacks files of '{self.card.name}'",
                where=str(path),
                problems=[f"needed: {names}" for names in needed],
                hint=files.from_copy(self.card.name, self.forms[0].archive.name),
            )
        published = {form.archive.name: form.archive.digest for form in self.forms}
        name = files.identify(path, published, dataset=self.card.name)
        return next(form for form in self.forms if form.archive.name == name)

    @staticmethod
    def _folder_of(form: Form, path: Path) -> Path | None:
        return files.first_with_all((path, path / form.folder), _names(form))


def _names(form: Form) -> tuple[str, ...]:
    return tuple(name for names in form.members.values() for name in names)


def _remote(name: str, digest: str, *, size: int) -> download.Remote:
    return download.Remote(name=name, urls=(f"{ADDRESS}/{name}",), digest=digest, limit=size)


_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))

_CIFAR10_FORMS = (
    BinaryForm(
        archive=_remote(
            "cifar-10-binary.tar.gz",
            "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            size=170_052_171,
        ),
        folder="cifar-10-batches-bin",
        members={"train": tuple(f"{name}.bin" for name in _BATCHES), "test": ("test_batch.bin",)},
        label_bytes=1,
    ),
    PythonForm(
        archive=_remote(
            "cifar-10-python.tar.gz",
            "sha256:6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
            size=170_498_071,
        ),
        folder="cifar-10-batches-py",
        members={"train": _BATCHES, "test": ("test_batch",)},
        label_key="labels",
    ),
)

_CIFAR100_FORMS = (
    BinaryForm(
        archive=_remote("cifar-100-binary.tar.gz", "md5:03b5dce01913d631647c71ecec9e9cb8", size=168_513_733),
        folder="cifar-100-binary",
        members={"train": ("train.bin",), "test": ("test.bin",)},
        label_bytes=2,  # coarse, fine
    ),
    PythonForm(
        archive=_remote("cifar-100-python.tar.gz", "md5:eb9058c3a382ffc7106e4002c42a8d85", size=169_001_437),
        folder="cifar-100-python",
        members={"train": ("train",), "test": ("test",)},
        label_key="fine_labels",
    ),
)


def _card(name: str, classes: tuple[str, ...], *, image: ImageSpec, forms: tuple[Form, ...]) -> DatasetCard:
    return DatasetCard(
        name=name,
        classes=classes,
        image=image,
        splits={"train": 50_000, "test": 10_000},
        licence="none stated by the authors",
        source="https://www.cs.toronto.edu/~kriz/cifar.html",
        digests={form.archive.name: form.archive.digest for form in forms},
        defaults={"augment": "standard", "epochs": 200, "mirror": True},
    )


cifar10 = Cifar(
    card=_card(
        "cifar10",
        CIFAR10,
        image=ImageSpec(size=SIZE, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616)),
        forms=_CIFAR10_FORMS,
    ),
    forms=_CIFAR10_FORMS,
)
cifar100 = Cifar(
    card=_card(
        "cifar100",
        CIFAR100,
        image=ImageSpec(size=SIZE, mean=(0.5071, 0.4865, 0.4409), std=(0.2673, 0.2564, 0.2762)),
        forms=_CIFAR100_FORMS,
    ),
    forms=_CIFAR100_FORMS,
)
