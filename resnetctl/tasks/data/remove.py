"""`data remove`: delete a dataset from the store."""

from pathlib import Path

from resnetctl.data.cards import missing, store_names
from resnetctl.system import storage
from resnetctl.system.settings import Settings
from resnetctl.tasks.data.reports import RemoveReport


def stored(name: str, settings: Settings) -> Path:
    """Return the folder of a dataset in the store. Raises `DataError` when it is missing."""
    if name not in store_names(settings.data_dir):
        raise missing(settings.data_dir, name)
    return settings.data_dir / name


def remove(name: str, settings: Settings) -> RemoveReport:
    """Delete a dataset from the store, even if its card is damaged. Raises `DataError` when it is missing."""
    path = stored(name, settings)
    storage.remove(path)
    return RemoveReport(name=name, path=path, card=None)
