"""Read VOC XML: `Annotations/*.xml` with `JPEGImages/` and `ImageSets/Main/*.txt`, or each XML beside its image.

Corners are taken as they stand, as torchvision takes them.
"""

import xml.etree.ElementTree as ElementTree
from collections import Counter

from resnetctl.data.dense.files import Files, stem_of
from resnetctl.data.dense.finder import ImageFinder, split_of
from resnetctl.data.dense.scenes import Annotated, Object, Scene
from resnetctl.errors import DataError
from resnetctl.spec import Split
from resnetctl.wording import counted

LISTS = "ImageSets/Main/"
MAX_XML = 2**22  # characters of one file
SIDES = ("xmin", "ymin", "xmax", "ymax")
_SPLITS: tuple[tuple[str, Split], ...] = (("train", "train"), ("val", "val"), ("test", "test"))


def read_voc(files: Files) -> Annotated:
    """Return the pictures that XML files describe. What is wrong with them becomes `problems`."""
    names = files.below("", ".xml")
    problems: list[str] = []
    lists = _lists(files, problems)
    finder = ImageFinder(files)
    scenes = []
    for name in names:
        split = lists.get(stem_of(name)) if lists else split_of(name)
        if lists and split is None:
            continue
        try:
            scenes.append(_scene(name, files.text(name), finder, split=split, problems=problems))
        except (ValueError, DataError) as error:
            problems.append(f"{name}: {error.message if isinstance(error, DataError) else error}")
    known = {stem_of(name) for name in names}
    problems += [f"{LISTS}{split}.txt: '{stem}' has no XML file" for stem, split in lists.items() if stem not in known]
    problems += finder.twice()
    remarks = []
    if lists and (left := sum(stem_of(name) not in lists for name in names)):
        remarks.append(f"in no list of {LISTS}: {counted(left, 'XML file')}")
    if unused := finder.unused():
        remarks.append(f"images without an XML file, left out: {unused:,}")
    labels = Counter(item.label for scene in scenes for item in scene.objects)
    return Annotated(
        path=files.path,
        format="VOC XML",
        truth="boxes",
        classes=tuple(sorted(labels)),
        scenes=tuple(scenes),
        problems=tuple(problems),
        remarks=tuple(remarks),
        listing=files.listing(names),
    )


def _lists(files: Files, problems: list[str]) -> dict[str, Split]:
    """Return the split of each stem that `ImageSets/Main` names. A stem in two splits is a problem."""
    by_name = {
        stem_of(name): name for name in files.below("", ".txt") if f"/{name}".rpartition("/")[0].endswith(LISTS[:-1])
    }
    if "train" not in by_name and "trainval" in by_name:
        by_name["train"] = by_name["trainval"]
    found: dict[str, Split] = {}
    for stem, split in _SPLITS:
        for line in files.text(by_name[stem]).splitlines() if stem in by_name else ():
            name = line.split()[0] if line.split() else ""
            if name and found.setdefault(name, split) != split:
                problems.append(f"{by_name[stem]}: '{name}' is in {found[name]}, too")
    return found


def _scene(name: str, text: str, finder: ImageFinder, *, split: Split | None, problems: list[str]) -> Scene:
    """Return the picture of an XML file; add what is wrong with its parts. Raises `ValueError` if it is not XML."""
    if len(text) > MAX_XML or "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("it is too large, or declares entities: refused")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"it is not XML: {error}") from None
    image, size, objects = "", None, []
    try:
        image = finder.find(name, (root.findtext("filename") or "").strip())
    except ValueError as error:
        problems.append(f"{name}: {error}")
    try:
        size = _size(root)
    except ValueError as error:
        problems.append(f"{name}: {error}")
    for number, item in enumerate(root.iter("object"), start=1):
        try:
            objects.append(_object(item, number))
        except ValueError as error:
            problems.append(f"{name}: {error}")
    return Scene(name=image, split=split, where=name, size=size, objects=tuple(objects))


def _object(item: ElementTree.Element, number: int) -> Object:
    label = (item.findtext("name") or "").strip()
    title = f"object {number} ('{label}')"
    if not label:
        raise ValueError(f"object {number} has no class name")
    if item.find("bndbox") is None:
        raise ValueError(f"{title} has no bndbox")
    x1, y1, x2, y2 = (_number(item.findtext(f"bndbox/{side}"), f"{title}: {side}") for side in SIDES)
    return Object(corners=(x1, y1, x2, y2), label=label, name=title)


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    """Return (width, height) as the file says them; None if it does not, or says 0, as some tools do."""
    texts = [root.findtext(f"size/{key}") for key in ("width", "height")]
    sides = tuple(map(_side, texts)) if all(texts) else ()
    return (sides[0], sides[1]) if sides and all(sides) else None


def _side(text: str | None) -> int:
    side = _number(text, "its size")
    if not side.is_integer():  # nor are infinity and NaN
        raise ValueError(f"its size is {(text or '')[:20]!r}, not a number of pixels")
    return int(side)


def _number(text: str | None, title: str) -> float:
    try:
        return float(text or "")
    except ValueError:
        raise ValueError(f"{title} is {(text or '')[:20]!r}, not a number") from None
