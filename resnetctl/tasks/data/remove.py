"""`data remove`: delete a dataset from the store."""

from resnetctl.data.cards import missing, store_names
from resnetctl.system import storage
from resnetctl.system.settings import Settings
from resnetctl.tasks.data.reports import RemoveReport


def remove(name: str, settings: Settings) -> RemoveReport:
    """Delete a dataset from the store, even if its card is damaged. Raises `DataError` when it is missing."""
    if name not in store_names(settings.data_dir):
        raise missing(settings.data_dir, name)
    path = settings.data_dir / name
    storage.remove(path)
    return RemoveReport(name=name, path=path, card=None)
