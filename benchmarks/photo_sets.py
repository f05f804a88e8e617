"""Build small sets of real images as folders with fixed parts `train` and `test`, one folder per class in each.

The sources are public archives of `RESNETCTL_TEST_DATA`, Debian's package `dataset-fashion-mnist` and scikit-learn's
digits. A set is drawn by a fixed seed, so every machine builds the same images.
"""

from __future__ import annotations

import gzip
import io
import os
import random
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image

FASHION = Path("/usr/share/datasets/fashion-mnist")
SCENES = {1: "building", 3: "road", 5: "tree", 8: "car"}  # indices of CamVid's 11 classes
Labelled = Iterator[tuple[str, Image.Image]]


@dataclass(frozen=True, kw_only=True)
class PhotoSet:
    """A set of images.

    Attributes:
        name: its name in the store.
        size: pixels per side.
        train, test: images in each part, all classes together.
        images: yields class and image of the part, "train" or "test", in an order that does not matter.
    """

    name: str
    size: int
    train: int
    test: int
    images: Callable[[str], Labelled]


def write(photos: PhotoSet, folder: Path) -> None:
    """Write the set into `folder` as PNG files, with equally many images of each class (or one more)."""
    for part, count in (("train", photos.train), ("test", photos.test)):
        everything = sorted(photos.images(part), key=lambda item: item[0])
        groups = {name: [image for _, image in items] for name, items in groupby(everything, key=lambda item: item[0])}
        for place, (name, images) in enumerate(groups.items()):
            share = count // len(groups) + (place < count % len(groups))
            chosen = random.Random(0).sample(images, min(share, len(images)))
            (folder / part / name).mkdir(parents=True)
            for number, image in enumerate(chosen):
                resized = image.resize((photos.size, photos.size), Image.Resampling.BICUBIC)
                resized.save(folder / part / name / f"{number:04}.png")


def archive(name: str) -> Path:
    """Return the path of an archive of the test data."""
    return Path(os.environ["RESNETCTL_TEST_DATA"]) / name


@cache
def members(name: str) -> dict[str, bytes]:
    """Return the files of an archive by name."""
    with tarfile.open(archive(name)) as tar:
        return {item.name: tar.extractfile(item).read() for item in tar if item.isfile()}  # type: ignore[union-attr]


def cifar(*names: str) -> Callable[[str], Labelled]:
    """CIFAR-10's test images: 7 of 10 for training, so that weights of CIFAR-10 have not seen them. No name: all."""

    def images(part: str) -> Labelled:
        for name, data in members("cifar10-jpeg.tar.xz").items():
            path = Path(name)
            if path.suffix != ".jpg" or path.parts[-3] != "test":
                continue
            label, is_train = path.parts[-2], int(path.stem) % 10 < 7
            if (label in names or not names) and is_train == (part == "train"):
                yield f"a {label}", Image.open(io.BytesIO(data)).convert("RGB")  # another name: a new head

    return images


def blood(part: str) -> Labelled:
    """Crops of blood cells in smears, with a margin of a tenth; the archive's own test smears are the test part."""
    files = members("bccd.tar.xz")
    listed = [files[f"bccd/ImageSets/Main/{name}.txt"] for name in (["test"] if part == "test" else ["train", "val"])]
    for stem in b"\n".join(listed).decode().split():
        smear = Image.open(io.BytesIO(files[f"bccd/JPEGImages/{stem}.jpg"])).convert("RGB")
        for item in ElementTree.fromstring(files[f"bccd/Annotations/{stem}.xml"]).iter("object"):
            left, top, right, bottom = (
                int(item.findtext(f"bndbox/{k}", "0")) for k in ("xmin", "ymin", "xmax", "ymax")
            )
            half = 0.55 * max(right - left, bottom - top)
            x, y = (left + right) / 2, (top + bottom) / 2
            inside = half <= min(x, y) and x + half <= smear.width and y + half <= smear.height
            if half > 5 and inside:
                yield (
                    item.findtext("name", ""),
                    smear.crop((round(x - half), round(y - half), round(x + half), round(y + half))),
                )


def scenes(part: str) -> Labelled:
    """Squares of road scenes, a third of the height, named by the class that covers at least half of them."""
    files = members("camvid.tar.xz")
    for name, data in files.items():
        folder, _, split = name.rpartition("/")[0].partition("images/")
        if not split or (split == "test") != (part == "test"):
            continue
        scene = Image.open(io.BytesIO(data)).convert("RGB")
        mask = np.asarray(Image.open(io.BytesIO(files[f"{folder}masks/{split}/{Path(name).stem}.png"])))
        side = scene.height // 3
        for top in range(0, scene.height - side + 1, side // 2):
            for left in range(0, scene.width - side + 1, side // 2):
                patch = mask[top : top + side, left : left + side]
                label = int(np.bincount(patch.ravel(), minlength=12).argmax())
                if label in SCENES and (patch == label).mean() >= (0.3 if label == 8 else 0.5):
                    yield SCENES[label], scene.crop((left, top, left + side, top + side))


def fashion(part: str) -> Labelled:
    """Fashion-MNIST, 28 px, grey."""
    stem = "t10k" if part == "test" else "train"
    pixels = np.frombuffer(
        gzip.decompress((FASHION / f"{stem}-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16
    )
    labels = np.frombuffer(gzip.decompress((FASHION / f"{stem}-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    for image, label in zip(pixels.reshape(-1, 28, 28), labels, strict=True):
        yield f"garment {label}", Image.fromarray(image)


def garments(*names: str) -> Callable[[str], Labelled]:
    """Classes of Fashion-MNIST, e.g. "garment 0"."""
    return lambda part: (item for item in fashion(part) if item[0] in names)


def digits(part: str) -> Labelled:
    """scikit-learn's digits, 8 px, grey; every third is for testing."""
    from sklearn.datasets import load_digits

    data = load_digits()
    for number, (image, label) in enumerate(zip(data.images, data.target, strict=True)):
        if (number % 3 == 0) == (part == "test"):
            yield f"digit {label}", Image.fromarray((image * 15.9375).astype(np.uint8))
