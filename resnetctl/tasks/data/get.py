"""`data get`: fetch a dataset that a plugin offers, and store it."""

from collections.abc import Generator
from pathlib import Path

from resnetctl import registry
from resnetctl.data.cards import read_card, store_names
from resnetctl.errors import UsageError
from resnetctl.facts import Progress
from resnetctl.hints import Call, Setting
from resnetctl.system.settings import Settings
from resnetctl.tasks.data.mirror import SCHEMES, mirror
from resnetctl.tasks.data.reports import GetReport
from resnetctl.tasks.datasets import fetch_and_store, offered_name, path_name


def get(
    data: str, settings: Settings, *, source: Path | None = None, replace: bool = False
) -> Generator[Progress, None, GetReport]:
    """Fetch the images of a dataset plugin and store them. A stored dataset is kept unless `replace` is True.

    Args:
        data: the name of a dataset, or the address of a published one (`tasks.data.mirror`).
        source: a copy that the user has, used instead of a download.

    Raises:
        UsageError: no plugin has this name, or `source` is given for a dataset in the store without `replace`.
        DataError: the data cannot be fetched, or does not match the plugin's card.
        PluginError: the plugin fails.
    """
    if data.startswith(SCHEMES):
        return (yield from _copied(data.rstrip("/"), settings, source=source, is_replacing=replace))
    plugin, name = registry.get("dataset", data), offered_name(data)
    source = None if source is None else source.expanduser()
    path = settings.data_dir / name
    is_stored = name in store_names(settings.data_dir)
    if is_stored and source is not None and not replace:
        raise UsageError(
            f"dataset '{name}' is already in the store", hint=Setting("replace", True, note="reads it again")
        )
    is_work = replace or not is_stored
    if is_work:
        yield from fetch_and_store(plugin, name, settings=settings, source=source, replace=replace)
    return GetReport(name=name, path=path, card=read_card(settings.data_dir, name), done=is_work)


def _copied(
    url: str, settings: Settings, *, source: Path | None, is_replacing: bool
) -> Generator[Progress, None, GetReport]:
    """Copy the dataset at an address under the last part of its name, unless it is in the store already."""
    name = path_name(Path(url))
    path = settings.data_dir / name
    is_work = is_replacing or name not in store_names(settings.data_dir)
    if source is not None:
        raise UsageError("a dataset at an address has no other source", where=Setting("source"), hint="leave it out")
    if is_work:
        yield from mirror(url, name, settings=settings, is_replacing=is_replacing)
    else:
        card = read_card(settings.data_dir, name)
        if card.source != url:
            raise UsageError(
                f"dataset '{name}' is already in the store, from another source",
                where=url,
                hint=[Setting("replace", note="replaces it"), Call("data show", (name,))],
            )
    return GetReport(name=name, path=path, card=read_card(settings.data_dir, name), done=is_work)
