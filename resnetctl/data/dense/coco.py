"""Read COCO JSON: files with `images`, `annotations` and `categories`, one for each split or one for all.

Annotations have a `bbox`, or none of them has one: then they say which categories an image shows.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from resnetctl.data.dense.files import Files
from resnetctl.data.dense.finder import ImageFinder, split_of
from resnetctl.data.dense.scenes import Annotated, Object, Scene, image_labels
from resnetctl.errors import DataError
from resnetctl.wording import counted

KEYS = ("images", "annotations", "categories")
NOWHERE = (0.0, 0.0, 0.0, 0.0)  # corners of an annotation without a box
Document = Mapping[str, Any]


def documents(files: Files, only: str = "") -> dict[str, Document]:
    """Return the JSON files of COCO by name; `only` that of this name. Other JSON files are left out."""
    found = {}
    for name in files.below("", ".json"):
        if only in ("", name) and is_coco(body := _parsed(files.text(name))):
            found[name] = body
    return found


def is_coco(body: Any) -> bool:
    """Return whether a JSON value has the three lists of COCO."""
    return isinstance(body, Mapping) and all(isinstance(body.get(key), list) for key in KEYS)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def read_coco(files: Files, bodies: Mapping[str, Document]) -> Annotated:
    """Return the pictures of COCO files. Classes are matched by name, so ids may have gaps and differ between files.

    Without a `bbox` in any annotation, the categories of an image are its labels.
    """
    problems: list[str] = []
    finder = ImageFinder(files)
    classes: dict[str, None] = {}
    scenes: list[Scene] = []
    crowds = 0
    has_boxes = any("bbox" in item for body in bodies.values() for item in body["annotations"] if _is_table(item))
    has_boxes |= not any(body["annotations"] for body in bodies.values())
    for name, body in bodies.items():
        names = dict(_categories(body, name, problems))
        classes |= dict.fromkeys(names[number] for number in sorted(names))
        reader = _Reader(name, names, finder, problems, has_boxes=has_boxes)
        scenes += reader.scenes(body)
        crowds += reader.crowds
    problems += finder.twice()
    remarks = [f"crowds, left out: {crowds:,}"] if crowds else []
    if unused := finder.unused():
        remarks.append(f"images that no JSON file names, left out: {unused:,}")
    found = Annotated(
        path=files.path,
        format="COCO JSON",
        truth="boxes",
        classes=tuple(classes),
        scenes=tuple(scenes),
        problems=tuple(problems),
        remarks=tuple(remarks),
        listing=files.listing([*bodies]),
    )
    return found if has_boxes else image_labels(found)


def _categories(body: Document, where: str, problems: list[str]) -> Iterator[tuple[int, str]]:
    seen: set[int] = set()
    for place, item in enumerate(body["categories"]):
        number, label = _get(item, "id"), _get(item, "name")
        if not _is_int(number) or number < 0 or not isinstance(label, str) or not label.strip():
            problems.append(f"{where}: category {place} needs an id of 0 or more, and a name")
        elif number in seen:
            problems.append(f"{where}: two categories have the id {number}")
        else:
            seen.add(number)
            yield number, label.strip()


class _Reader:
    """Reads one file; `crowds` counts annotations that stand for many objects."""

    def __init__(
        self, where: str, names: Mapping[int, str], finder: ImageFinder, problems: list[str], *, has_boxes: bool
    ) -> None:
        self._where, self._names, self._finder, self._problems = where, names, finder, problems
        self._has_boxes = has_boxes
        self._split = split_of(where)
        self.crowds = 0

    def scenes(self, body: Document) -> list[Scene]:
        images: dict[Any, Any] = {}
        for place, item in enumerate(body["images"]):
            number = _get(item, "id")
            if not isinstance(number, int | str) or not isinstance(_get(item, "file_name"), str):
                self._problem(f"image {place} needs an id and a file_name")
            elif number in images:
                self._problem(f"two images have the id {number}")
            else:
                images[number] = item
        objects: dict[Any, list[Object]] = {number: [] for number in images}
        for place, item in enumerate(body["annotations"]):
            self._add(item, f"annotation {_get(item, 'id') if _is_int(_get(item, 'id')) else place}", objects)
        return [self._scene(item, tuple(objects[number])) for number, item in images.items()]

    def _add(self, item: Any, title: str, objects: Mapping[Any, list[Object]]) -> None:
        image, number, box = _get(item, "image_id"), _get(item, "category_id"), _get(item, "bbox")
        if not isinstance(image, int | str) or image not in objects:
            self._problem(f"{title}: no image has the id {image!r}")
        elif not _is_int(number) or number not in self._names:
            self._problem(f"{title}: no category has the id {number!r}")
        elif not self._has_boxes:
            label = self._names[number]
            objects[image].append(Object(corners=NOWHERE, label=label, name=f"{title} ('{label}')"))
        elif not (isinstance(box, list) and len(box) == 4 and all(_is_number(value) for value in box)):
            self._problem(f"{title}: its bbox is not [x, y, width, height]")
        elif _get(item, "iscrowd"):
            self.crowds += 1
        else:
            x, y, width, height = map(float, box)
            label = self._names[number]
            corners = (x, y, x + width, y + height)
            objects[image].append(Object(corners=corners, label=label, name=f"{title} ('{label}')"))

    def _scene(self, item: Any, objects: tuple[Object, ...]) -> Scene:
        name, size = item["file_name"], (_get(item, "width"), _get(item, "height"))
        folders = (self._split, f"images/{self._split}", f"{self._split}2017") if self._split else ()
        image = ""
        try:
            image = self._finder.find(self._where, name, folders=folders)
        except ValueError as error:
            self._problem(f"image {item['id']}: {error}")
        return Scene(
            name=image,
            split=self._split or split_of(image),
            where=f"{self._where}: image {item['id']}",
            size=(size[0], size[1]) if all(_is_int(side) and side > 0 for side in size) else None,
            objects=objects,
        )

    def _problem(self, text: str) -> None:
        self._problems.append(f"{self._where}: {text}")


def require_coco(path: str, bodies: Mapping[str, Document]) -> None:
    """Raise `DataError` when a JSON file that the user named is no COCO file."""
    if not bodies:
        text = f"this JSON file lacks one of {', '.join(KEYS)}, or is damaged: {counted(0, 'image')} can be read"
        raise DataError(text, where=path, hint="COCO JSON has images, annotations and categories")


def _get(item: Any, key: str) -> Any:
    return item.get(key) if _is_table(item) else None


def _is_table(item: Any) -> bool:
    return isinstance(item, Mapping)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    """Return whether a JSON value is a number that a float can hold."""
    return isinstance(value, float) or (_is_int(value) and abs(value) <= sys.float_info.max)
