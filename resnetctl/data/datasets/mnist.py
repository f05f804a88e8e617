"""MNIST and Fashion-MNIST: 70,000 grey images of 28x28 pixels in four idx files.

Sources: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", 1998 (which describes the idx
format); H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST", 2017, arXiv:1708.07747.
Downloads must have the published digests. A folder of the user is checked by its structure instead (magic
numbers, shapes, sizes, labels), because copies are often unpacked or packed again.
"""

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnetctl.data.datasets import files
from resnetctl.errors import DataError
from resnetctl.spec import DatasetCard, ImageSpec, Scalar, Split
from resnetctl.system import download

if TYPE_CHECKING:
    import numpy as np

SIZE = 28
UNSIGNED_BYTE = 8  # the type code in an idx header
STEMS: Mapping[Split, tuple[str, str]] = {  # split: images, labels
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
FOLDERS = ("", "raw", "MNIST/raw", "FashionMNIST/raw")  # torchvision uses the last three


@dataclass(frozen=True, kw_only=True)
class Mnist:
    """The dataset plugin. `remotes` are the four published files."""

    card: DatasetCard
    remotes: tuple[download.Remote, ...]

    def fetch(self, cache: Path, source: Path | None = None) -> Path:
        """Return the folder with the four files, each `.gz` or unpacked: `source`, or a folder in `cache`.

        Raises `DataError` when `source` lacks a file, or a download fails.
        """
        if source is not None:
            files.must_exist(source, dataset=self.card.name)
            for images, labels in STEMS.values():
                self._find(source, images)
                self._find(source, labels)
            return source
        folder = cache / self.card.name
        hint = files.without_network(self.card.name, "FOLDER")
        for remote in self.remotes:
            download.fetch(remote, folder, hint=hint)
        return folder

    def read(self, path: Path, split: Split) -> Iterator[tuple["np.ndarray[Any, Any]", str]]:
        """Yield `(28, 28, 1)` uint8 images and class names in the published order.

        Raises `DataError` for a damaged file, a shape or number of images other than published, or an unknown label.
        """
        if split not in STEMS:
            return
        count = self.card.splits[split]
        images, labels = (self._find(path, stem) for stem in STEMS[split])
        pixels = read_idx(images, (count, SIZE, SIZE))
        for image, label in zip(pixels, read_idx(labels, (count,)).tolist(), strict=True):
            if label >= len(self.card.classes):
                raise DataError(f"label {label} is not below {len(self.card.classes)}", where=str(labels))
            yield image[..., None], self.card.classes[label]

    def _find(self, source: Path, stem: str) -> Path:
        names = (stem, stem.replace("-idx", ".idx"))  # the tools of the original site wrote a dot
        candidates = [
            source / folder / f"{name}{suffix}" for folder, name, suffix in product(FOLDERS, names, ("", ".gz"))
        ]
        for candidate in candidates:
            if candidate.is_file():
                return candidate
        raise DataError(
            f"'{stem}' and '{stem}.gz' are missing",
            where=str(source),
            hint=files.from_copy(self.card.name, "FOLDER", note=f"with the four files of '{self.card.name}'"),
        )


def read_idx(path: Path, shape: tuple[int, ...]) -> "np.ndarray[Any, Any]":
    """Return the read-only array in an idx or idx.gz file of unsigned bytes with exactly this shape.

    Raises `DataError` for any other content.
    """
    import numpy as np

    header, size = 4 + 4 * len(shape), math.prod(shape)
    data = files.read_file(path, limit=header + size)
    expected = struct.pack(f">HBB{len(shape)}I", 0, UNSIGNED_BYTE, len(shape), *shape)
    if data[:header] != expected:
        raise DataError(
            f"the idx header is {data[:header].hex(' ', 4)}, expected {expected.hex(' ', 4)}: "
            f"unsigned bytes of shape {shape}",
            where=str(path),
        )
    if len(data) != header + size:
        raise DataError(f"the file is truncated: {len(data) - header:,} of {size:,} bytes", where=str(path))
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _remotes(bases: tuple[str, ...], digests: Mapping[str, str]) -> tuple[download.Remote, ...]:
    return tuple(
        download.Remote(
            name=f"{stem}.gz",
            urls=tuple(f"{base}/{stem}.gz" for base in bases),
            digest=digest,
            limit=60_000 * SIZE * SIZE,  # the packed files are smaller
        )
        for stem, digest in digests.items()
    )


def _dataset(
    name: str,
    classes: tuple[str, ...],
    *,
    remotes: tuple[download.Remote, ...],
    image: ImageSpec,
    about: Mapping[str, str],
    defaults: Mapping[str, Scalar],
) -> Mnist:
    card = DatasetCard(
        name=name,
        classes=classes,
        image=image,
        splits={"train": 60_000, "test": 10_000},
        licence=about["licence"],
        source=about["source"],
        digests={remote.name: remote.digest for remote in remotes},
        defaults=defaults,
    )
    return Mnist(card=card, remotes=remotes)


mnist = _dataset(
    "mnist",
    tuple("0123456789"),
    remotes=_remotes(
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            "https://storage.googleapis.com/cvdf-datasets/mnist",
            "http://yann.lecun.com/exdb/mnist",
        ),
        {
            "train-images-idx3-ubyte": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte": "md5:d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte": "md5:9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte": "md5:ec29112dd5afa0611ce80d1b7f02629c",
        },
    ),
    image=ImageSpec(size=SIZE, channels=1, mean=(0.1307,), std=(0.3081,)),
    about={"licence": "none stated by the authors", "source": "http://yann.lecun.com/exdb/mnist/"},
    defaults={"augment": "shift", "epochs": 10, "mirror": False},
)

fashion_mnist = _dataset(
    "fashion-mnist",
    (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    remotes=_remotes(
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
        ),
        {
            "train-images-idx3-ubyte": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte": "md5:25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte": "md5:bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte": "md5:bb300cfdad3c16e7a12a480ee83cd310",
        },
    ),
    image=ImageSpec(size=SIZE, channels=1, mean=(0.2860,), std=(0.3530,)),
    about={"licence": "MIT", "source": "https://github.com/zalandoresearch/fashion-mnist"},
    defaults={"augment": "standard", "epochs": 30, "mirror": True},
)
