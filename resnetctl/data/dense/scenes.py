"""A source of pictures with boxes or masks, as every reader of annotations returns it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from resnetctl.errors import UsageError
from resnetctl.hints import Setting
from resnetctl.spec import Split, TruthKind

Corners = tuple[float, float, float, float]  # x1 y1 x2 y2 in pixels of the picture
VOID = ("void", "ignore", "ignored", "unlabeled", "unlabelled")  # class names of masks that mean "not known"


@dataclass(frozen=True, kw_only=True)
class Object:
    """One box: its corners, its class, and its name in messages, e.g. `object 3`."""

    corners: Corners
    label: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One picture.

    Attributes:
        name: the name of its file in the source; "": it is missing, which is a problem already.
        split: None if the source has no splits.
        where: the file that describes it, for messages.
        size: (width, height) as that file says; None: it says nothing.
        objects: its boxes.
        mask: the name of its mask's file; "": it has no mask.
        tags: its classes, if the source says which classes a picture shows.
    """

    name: str
    split: Split | None
    where: str
    size: tuple[int, int] | None = None
    objects: tuple[Object, ...] = ()
    mask: str = ""
    tags: tuple[str, ...] = ()

    @property
    def image_exists(self) -> bool:
        return bool(self.name)


@dataclass(frozen=True, kw_only=True)
class Palette:
    """How the values of mask files become classes: `values` maps a level, or a colour, to the class or to `IGNORE`.

    Without `values`, level i is class i.
    """

    values: Mapping[int | tuple[int, int, int], int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Annotated:
    """All pictures of a source, before one is decoded.

    Attributes:
        format: what the reader reads: "VOC XML", "COCO JSON", "masks" or "CSV".
        problems: what is wrong with the annotations, a line each.
        remarks: what the reader left out or changed, for the notes of the card.
        listing: SHA-256 of the names and of the annotations, to detect changes.
    """

    path: Path
    format: str
    truth: TruthKind
    classes: tuple[str, ...]
    scenes: tuple[Scene, ...]
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    listing: str
    palette: Palette = field(default_factory=Palette)


def image_labels(annotated: Annotated) -> Annotated:
    """Return the source with the classes of the boxes as labels of their images, each once, and without boxes.

    Raises `UsageError` for a source without boxes.
    """
    if annotated.truth != "boxes":
        raise UsageError(
            f"only boxes can become labels of their images, and {annotated.path} has {annotated.truth}",
            where=Setting("image_labels"),
        )
    scenes = [
        replace(scene, objects=(), tags=tuple(dict.fromkeys(item.label for item in scene.objects)))
        for scene in annotated.scenes
    ]
    return replace(annotated, truth="tags", scenes=tuple(scenes))
