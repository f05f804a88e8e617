"""Small pictures with numbers: the class follows from the brightness of the picture and the sign of a number."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from resnetctl.data.store import Store, open_store
from resnetctl.facts import result_of
from resnetctl.system import settings
from resnetctl.tasks.data.add import AddRequest, add

COLUMNS = ("weight", "same", "length")
CLASSES = ("--", "-+", "+-", "++")


def written(folder: Path, *, count: int = 24, size: int = 8) -> tuple[Path, Path]:
    """Write pictures, `labels.csv` with a val and a test split, and `numbers.csv`; return both files."""
    draw = np.random.default_rng(0)
    (folder / "img").mkdir(parents=True)
    labels, numbers = ["path,label,split"], [f"path,{','.join(COLUMNS)}"]
    for place in range(count):
        bright, heavy = place % 2, place // 2 % 2
        pixels = draw.integers(0, 60, (size, size), dtype=np.uint8) + 150 * np.uint8(bright)
        Image.fromarray(pixels).save(folder / f"img/{place:03d}.png")
        split = "test" if place >= count - 4 else "val" if place >= count - 8 else "train"
        labels.append(f"img/{place:03d}.png,{'-+'[bright]}{'-+'[heavy]},{split}")
        numbers.append(f"img/{place:03d}.png,{(2 * heavy - 1) * draw.uniform(5, 6):.3f},7,{draw.normal():.3f}")
    return lines(folder / "labels.csv", labels), lines(folder / "numbers.csv", numbers)


def lines(path: Path, text: Iterable[str]) -> Path:
    """Write the lines of a file; return it."""
    path.write_text("\n".join(text) + "\n")
    return path


def table(path: Path, rows: Sequence[Sequence[object]], *, header: str = "path,a,b") -> Path:
    """Write a CSV file; return it."""
    return lines(path, [header, *(",".join(map(str, row)) for row in rows)])


def stored(folder: Path, *, count: int = 24, name: str = "scenes") -> Store:
    """Store pictures with numbers as a dataset."""
    labels, numbers = written(folder / "numbers", count=count)
    return added(labels, numbers, name=name)


def added(source: Path, vectors: Path | None, *, name: str = "scenes", **options: bool) -> Store:
    """Store a source with numbers as a dataset."""
    request = AddRequest(path=source, name=name, vectors=vectors, **options)
    result_of(add(request, settings.load()))
    return open_store(settings.load().data_dir, name)
