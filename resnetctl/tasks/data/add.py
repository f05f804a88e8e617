"""`data add`: store images of the user as a dataset."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from resnetctl import registry
from resnetctl.data.cards import check_name, read_card
from resnetctl.data.storage.options import Options
from resnetctl.errors import DataError, UsageError
from resnetctl.facts import Notice, Progress
from resnetctl.hints import Setting
from resnetctl.system.plain_files import close_path, expanded
from resnetctl.system.settings import Settings
from resnetctl.tasks.data.reports import AddReport
from resnetctl.tasks.datasets import path_name, read_and_store, require_source


@dataclass(frozen=True, kw_only=True)
class AddRequest(Options):
    """The arguments of `data add`: a folder, an archive, a CSV file or a COCO JSON file, and how to store its images.

    `name` is that of the dataset; None: derived from the path.
    """

    path: Path
    name: str | None = None


def add(request: AddRequest, settings: Settings) -> Generator[Notice | Progress, None, AddReport]:
    """Store images as a dataset: class folders, a CSV file, or pictures with boxes or masks.

    Raises:
        UsageError: the name is taken or not a valid name.
        DataError: the layout of the source is not supported, or images are bad (all are listed).
    """
    source = expanded(request.path)
    if not source.exists():
        raise DataError("no such file or folder", where=str(request.path), hint=close_path(request.path))
    name = path_name(source) if request.name is None else request.name
    check_name(name)
    if name in registry.names("dataset"):
        raise UsageError(
            f"'{name}' is the name of a dataset plugin", where=Setting("name"), hint=Setting("name", "OTHER")
        )
    path = settings.data_dir / name
    if request.name is None and path.exists() and not request.replace:
        require_source(read_card(settings.data_dir, name), source, where=str(request.path))
    yield from read_and_store(source, name, settings=settings, options=request)
    return AddReport(name=name, path=path, card=read_card(settings.data_dir, name))
