"""Find the image that an annotation names, and the split that its folders name."""

import re
from collections import Counter

from resnetctl.data.dense.files import Files, stem_of
from resnetctl.data.reading.source import ALIASES
from resnetctl.spec import Split

BESIDE = ("JPEGImages", "images", "Images", "imgs", "data")  # folders beside that of the annotations


class ImageFinder:
    """Finds images by the names in annotations."""

    def __init__(self, files: Files) -> None:
        self._images = dict.fromkeys(files.below(""))
        self._by_last: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for name in self._images:
            self._by_last.setdefault(name.rpartition("/")[2], []).append(name)
            self._by_stem.setdefault(stem_of(name), []).append(name)
        self._users: Counter[str] = Counter()

    def find(self, annotation: str, name: str, *, folders: tuple[str, ...] = ()) -> str:
        """Return the image `name` of the file `annotation`. Raises `ValueError` when there is none, or more than one.

        Args:
            name: "" takes the image with the stem of the annotation.
            folders: more folders to look in, relative to the annotation's parent.
        """
        image = self._find(annotation, name, folders)
        self._users[image] += 1
        return image

    def _find(self, annotation: str, name: str, folders: tuple[str, ...]) -> str:
        home = annotation.rpartition("/")[0]
        parent = home.rpartition("/")[0]
        last = name.replace("\\", "/").removeprefix("./")
        places = [
            home,
            parent,
            *(f"{parent}/{folder}" for folder in (*folders, *BESIDE)),
            *(f"{home}/{folder}" for folder in folders),
        ]
        for place in places if last else ():
            if (path := f"{place}/{last}".lstrip("/")) in self._images:
                return path
        found = self._by_last.get(last.rpartition("/")[2], []) if last else []
        found = found or self._by_stem.get(stem_of(last) if last else stem_of(annotation), [])
        if not found:
            raise ValueError(f"its image '{name or stem_of(annotation)}' is missing")
        if len(found) > 1:
            raise ValueError(f"its image '{name}' is in {len(found)} folders: {found[0]}, {found[1]}")
        return found[0]

    def twice(self) -> list[str]:
        """Return a line for each image that two annotations name."""
        return [f"{name}: {count} annotations name this image" for name, count in self._users.items() if count > 1]

    def unused(self) -> int:
        """Return the number of images that no annotation names."""
        return len(self._images) - len(self._users)


def split_of(name: str) -> Split | None:
    """Return the split that the folders or the stem of a name give: `train/x.xml`, `instances_val2017.json`."""
    for part in (*name.split("/")[:-1], stem_of(name)):
        for word in re.findall("[a-z]+", part.lower()):
            if word in ALIASES:
                return ALIASES[word]
    return None
