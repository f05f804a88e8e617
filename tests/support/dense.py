"""Small sources of pictures with boxes and masks, in every format that `data add` reads."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from resnetctl.data.dense.ingest import ingest_dense
from resnetctl.data.dense.sniff import Dense, open_any
from resnetctl.data.storage.options import Options
from resnetctl.data.store import Store, open_store

Box = tuple[float, float, float, float, str]
WIDTH, HEIGHT = 40, 30
COLOURS = {"disc": (200, 40, 40), "bar": (40, 60, 210)}
CLASSES = ("bar", "disc")


def scenes(count: int, *, seed: int = 0) -> Iterator[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], list[Box]]]:
    """Yield pictures with rectangles of two colours, their masks (0: ground, 1: bar, 2: disc), and their boxes.

    Every fourth picture has no rectangle.
    """
    draw = np.random.default_rng(seed)
    for number in range(count):
        picture = draw.integers(90, 120, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        mask, boxes = np.zeros((HEIGHT, WIDTH), np.uint8), []
        for place in range(0 if number % 4 == 3 else 2):
            label = "disc" if (number + place) % 2 else "bar"
            wide, tall = (10, 10) if label == "disc" else (14, 6)
            left, top = int(draw.integers(0, 5)) + 20 * place, int(draw.integers(0, HEIGHT - tall))
            picture[top : top + tall, left : left + wide] = COLOURS[label]
            mask[top : top + tall, left : left + wide] = 1 + CLASSES.index(label)
            boxes.append((left, top, left + wide, top + tall, label))
        yield picture, mask, boxes


def xml(name: str, boxes: Sequence[Box], *, size: tuple[int, int] = (WIDTH, HEIGHT)) -> str:
    """Return the VOC XML of a picture."""
    objects = "".join(
        f"<object><name>{label}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
        "</bndbox></object>"
        for x1, y1, x2, y2, label in boxes
    )
    sides = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<annotation><filename>{name}</filename>{sides}{objects}</annotation>"


def voc(folder: Path, count: int = 12, *, with_lists: bool = True) -> Path:
    """Write a VOC folder: 12 pictures, of which the last four are val and test."""
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    names = []
    for number, (picture, _, boxes) in enumerate(scenes(count)):
        names.append(f"p{number:02d}")
        Image.fromarray(picture).save(folder / "JPEGImages" / f"{names[-1]}.jpg", quality=95)
        (folder / "Annotations" / f"{names[-1]}.xml").write_text(xml(f"{names[-1]}.jpg", boxes))
    parts = {"train": names[: count - 4], "val": names[count - 4 : count - 2], "test": names[count - 2 :]}
    for split, members in parts.items() if with_lists else ():
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(members))
    return folder


def coco(folder: Path, count: int = 12, *, ids: Sequence[int] = (3, 7)) -> Path:
    """Write a COCO folder with a JSON for train and one for val; the ids of the categories have gaps."""
    categories = [{"id": number, "name": label} for number, label in zip(ids, CLASSES, strict=True)]
    drawn = list(scenes(count))
    for split, first, last in (("train", 0, count - 4), ("val", count - 4, count)):
        (folder / "images" / split).mkdir(parents=True)
        body: dict[str, Any] = {"images": [], "annotations": [], "categories": categories}
        for number in range(first, last):
            picture, _, boxes = drawn[number]
            name = f"{number:03d}.png"
            Image.fromarray(picture).save(folder / "images" / split / name)
            body["images"].append({"id": number + 1, "file_name": name, "width": WIDTH, "height": HEIGHT})
            for x1, y1, x2, y2, label in boxes:
                box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "category_id": ids[CLASSES.index(label)]}
                body["annotations"].append({"id": len(body["annotations"]) + 1, "image_id": number + 1, **box})
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(body))
    return folder


def masked(folder: Path, count: int = 12, *, names: str | None = "ground\nbar\ndisc\nvoid\n") -> Path:
    """Write `images/SPLIT/x.png` and `masks/SPLIT/x.png`; the last row of each mask is 255."""
    for number, (picture, mask, _) in enumerate(scenes(count)):
        split = "train" if number < count - 4 else "val" if number < count - 2 else "test"
        for kind in ("images", "masks"):
            (folder / kind / split).mkdir(parents=True, exist_ok=True)
        mask[-1] = 255
        Image.fromarray(picture).save(folder / "images" / split / f"{number:03d}.png")
        Image.fromarray(mask).save(folder / "masks" / split / f"{number:03d}.png")
    if names is not None:
        (folder / "classes.txt").write_text(names)
    return folder


def tagged(folder: Path, count: int = 12) -> Path:
    """Write `labels.csv` beside pictures that show a bar, a disc, both, or nothing; the last four are val and test."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["path,labels,split"]
    for number, (picture, mask, _) in enumerate(scenes(count)):
        wanted = [name for place, name in enumerate(CLASSES, start=1) if number % 4 in (0, place)]
        for place, name in enumerate(CLASSES, start=1):
            if name not in wanted:
                picture[mask == place] = 100
        split = "train" if number < count - 4 else "val" if number < count - 2 else "test"
        Image.fromarray(picture).save(folder / f"{number:03d}.png")
        lines.append(f"{number:03d}.png,{'|'.join(wanted)},{split}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder / "labels.csv"


def added(source: Path, data_dir: Path, name: str = "scenes", **options: Any) -> Store:
    """Store a source and return the dataset."""
    data_dir.mkdir(exist_ok=True)
    with open_any(source) as found:
        assert isinstance(found, Dense), "the source has boxes or masks"
        for _ in ingest_dense(data_dir, name, source=found, options=Options(**options)):
            pass
    return open_store(data_dir, name)
