"""`data get`: fetch a dataset that a plugin offers, and store it."""

from collections.abc import Generator
from pathlib import Path

from resnetctl import registry
from resnetctl.data.cards import read_card, store_names
from resnetctl.errors import UsageError
from resnetctl.facts import Progress
from resnetctl.hints import Setting
from resnetctl.system.settings import Settings
from resnetctl.tasks.data.reports import GetReport
from resnetctl.tasks.datasets import fetch_and_store, offered_name


def get(
    data: str, settings: Settings, *, source: Path | None = None, replace: bool = False
) -> Generator[Progress, None, GetReport]:
    """Fetch the images of a dataset plugin and store them. A dataset in the store stays, unless `replace`.

    Args:
        source: the user's own copy, instead of a download.

    Raises:
        UsageError: no plugin has this name, or there is a `source` for a dataset that is in the store.
        DataError: the data cannot be fetched, or is not what the plugin's card promises.
        PluginError: the plugin fails.
    """
    plugin, name = registry.get("dataset", data), offered_name(data)
    path = settings.data_dir / name
    is_stored = name in store_names(settings.data_dir)
    if is_stored and source is not None and not replace:
        raise UsageError(
            f"dataset '{name}' is already in the store", hint=Setting("replace", True, note="reads it anew")
        )
    is_work = replace or not is_stored
    if is_work:
        yield from fetch_and_store(plugin, name, settings=settings, source=source, replace=replace)
    return GetReport(name=name, path=path, card=read_card(settings.data_dir, name), done=is_work)
