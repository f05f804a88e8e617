"""`data list`: the datasets in the store and the datasets of plugins."""

from resnetctl import registry
from resnetctl.data.cards import read_card, store_names
from resnetctl.errors import DataError
from resnetctl.system.settings import Settings
from resnetctl.tasks.data.reports import Listed, ListReport


def listing(settings: Settings) -> ListReport:
    """Return the datasets in the store and those of plugins, by name. Imports no plugin and no numpy."""
    offered = {entry.name: entry for entry in registry.entries("dataset") if entry.status == "available"}
    names = sorted({*offered, *store_names(settings.data_dir)})
    rows = [_listed(name, offered[name].distribution if name in offered else None, settings) for name in names]
    return ListReport(data_dir=settings.data_dir, datasets=tuple(rows))


def _listed(name: str, distribution: str | None, settings: Settings) -> Listed:
    if name not in store_names(settings.data_dir):
        return Listed(name=name, distribution=distribution, card=None)
    try:
        return Listed(name=name, distribution=distribution, card=read_card(settings.data_dir, name))
    except DataError as error:
        return Listed(name=name, distribution=distribution, card=None, problem=error.headline)
