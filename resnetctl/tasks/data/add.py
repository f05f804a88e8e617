"""`data add`: store images of the user as a dataset."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from resnetctl import registry
from resnetctl.data.cards import check_name, read_card
from resnetctl.errors import DataError, UsageError
from resnetctl.facts import Notice, Progress
from resnetctl.hints import Setting
from resnetctl.spec import MAX_PIXELS, Fit, Storage
from resnetctl.system.settings import Settings
from resnetctl.tasks.data.reports import AddReport
from resnetctl.tasks.datasets import path_name, read_and_store, require_source


@dataclass(frozen=True, kw_only=True)
class AddRequest:
    """The arguments of `data add`.

    Attributes:
        path: a folder, an archive, a CSV file or a COCO JSON file.
        name: name of the dataset; None: derived from the path.
        size: side of the stored images in pixels; None: images of one size up to 64 keep it, others become 256.
        fit: how an image becomes a square; "auto" crops, and pads pictures with boxes or masks.
        on_bad_image: fail on bad images, or skip them.
        replace: replace a dataset with this name.
        max_pixels: an image with more pixels is a bad image.
        strict: a box without area, or a column of one value, is an error.
        vectors: a CSV or .npy file with numbers of the images.
        storage: the form: "raw" pixels, "jpeg" for the files as they came, or "auto" by the free disk.
        image_labels: take the classes of the boxes of a picture as its labels.
    """

    path: Path
    name: str | None = None
    size: int | None = None
    fit: Fit | Literal["auto"] = "auto"
    on_bad_image: Literal["error", "skip"] = "error"
    replace: bool = False
    max_pixels: int = MAX_PIXELS
    strict: bool = False
    storage: Storage | Literal["auto"] = "auto"
    vectors: Path | None = None
    image_labels: bool = False


def add(request: AddRequest, settings: Settings) -> Generator[Notice | Progress, None, AddReport]:
    """Store images as a dataset: class folders, a CSV file, or pictures with boxes or masks.

    Raises:
        UsageError: the name is taken or not a valid name.
        DataError: the layout of the source is not supported, or images are bad (all are listed).
    """
    from resnetctl.data.storage.options import Options

    source = request.path.expanduser()
    if not source.exists():
        raise DataError("no such file or folder", where=str(request.path))
    name = path_name(source) if request.name is None else request.name
    check_name(name)
    if name in registry.names("dataset"):
        raise UsageError(
            f"'{name}' is the name of a dataset plugin", where=Setting("name"), hint=Setting("name", "OTHER")
        )
    path = settings.data_dir / name
    if request.name is None and path.exists() and not request.replace:
        require_source(read_card(settings.data_dir, name), source, where=str(request.path))
    options = Options(
        size=request.size,
        fit=request.fit,
        on_bad_image=request.on_bad_image,
        replace=request.replace,
        max_pixels=request.max_pixels,
        strict=request.strict,
        storage=request.storage,
        vectors=request.vectors,
        image_labels=request.image_labels,
    )
    yield from read_and_store(source, name, settings=settings, options=options)
    return AddReport(name=name, path=path, card=read_card(settings.data_dir, name))
