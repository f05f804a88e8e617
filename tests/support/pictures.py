"""Pictures in memory, and folders and archives of them, for the tests of readers and of the store."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """Return the bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def solid(colour: Any = (200, 100, 50), size: tuple[int, int] = (12, 12), mode: str = "RGB") -> bytes:
    """Return a PNG of one colour."""
    return encode(Image.new(mode, size, colour))


def grey(value: int, size: tuple[int, int] = (12, 12)) -> bytes:
    """Return a grey PNG of one value."""
    return solid(value, size, "L")


def tree(*, train: int = 4, test: int = 2, classes: tuple[str, ...] = ("cat", "dog")) -> dict[str, bytes]:
    """Return the files of a source with train and test, by path; each picture has a different colour."""
    files = {}
    for place, (split, count) in enumerate((("train", train), ("test", test))):
        for label, name in enumerate(classes):
            for number in range(count):
                files[f"{split}/{name}/{number}.png"] = solid((number + 1, 40 * label, 100 * place))
    return files


def write_tree(root: Path, files: Mapping[str, bytes]) -> Path:
    """Write files below `root` and return it."""
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def write_tar(
    path: Path, files: Mapping[str, bytes], *, mode: str = "w", extra: tuple[tarfile.TarInfo, ...] = ()
) -> Path:
    """Write a tar of files, then `extra` members without content. `mode` as in `tarfile.open`."""
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in extra:
            archive.addfile(info)
    return path


def write_zip(path: Path, files: Mapping[str, bytes], *, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write a zip of files."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path
