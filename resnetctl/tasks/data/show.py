"""`data show`: the card of a dataset, its images by class and split, and a contact sheet."""

from pathlib import Path

from resnetctl.spec import Split
from resnetctl.system.settings import Settings
from resnetctl.tasks.data.reports import ShowReport


def show(name: str, settings: Settings, *, sheet: Path | None = None, split: Split = "train") -> ShowReport:
    """Return the card and the image counts of a dataset; write a contact sheet of `split` to `sheet`, if given.

    Raises `DataError` when the dataset is missing or damaged, `UsageError` when the sheet cannot be written.
    """
    from resnetctl.data.checks import count_classes
    from resnetctl.data.dense.checks import count_objects
    from resnetctl.data.sheet import write_sheet
    from resnetctl.data.store import open_store

    store = open_store(settings.data_dir, name)
    if sheet is not None:
        write_sheet(store, sheet, split=split)
    if store.card.truth == "labels":
        counts, empty = count_classes(store), None
    else:
        counts, empty = count_objects(store)
    return ShowReport(name=name, path=store.path, card=store.card, counts=counts, empty=empty, sheet=sheet)
