"""`data get`: fetch a dataset that a plugin offers, and store it."""

from collections.abc import Generator
from pathlib import Path

from resnetctl import registry
from resnetctl.data.cards import read_card, store_names
from resnetctl.errors import UsageError
from resnetctl.facts import Progress
from resnetctl.hints import Call, Setting
from resnetctl.system.plain_files import expanded, is_path
from resnetctl.system.remote_files import is_address
from resnetctl.system.settings import Settings
from resnetctl.tasks.data.mirror import mirror
from resnetctl.tasks.data.reports import GetReport
from resnetctl.tasks.datasets import fetch_and_store, offered_name, path_name


def get(
    data: str, settings: Settings, *, source: Path | None = None, replace: bool = False, remote: bool = False
) -> Generator[Progress, None, GetReport]:
    """Fetch the images of a dataset plugin and store them. A stored dataset is kept unless `replace` is True.

    Args:
        data: the name of a dataset, or the address of a published one (`tasks.data.mirror`).
        source: a copy that the user has, used instead of a download.
        remote: leave the shards of a published dataset where they are; they are fetched when they are read.

    Raises:
        UsageError: no plugin has this name, or `source` is given for a dataset in the store without `replace`.
        DataError: the data cannot be fetched, or does not match the plugin's card.
        PluginError: the plugin fails.
    """
    if is_address(data):
        if source is not None:
            raise UsageError(
                "a dataset at an address has no other source", where=Setting("source"), hint="leave it out"
            )
        return (yield from _copied(data.rstrip("/"), settings, is_replacing=replace, is_remote=remote))
    if remote:
        raise UsageError(
            f"'{data}' is no address, and only a published dataset can stay on its server",
            where=Setting("remote"),
            hint=Call("data get", ("https://data.example.org/NAME",), {"remote": True}),
        )
    if is_path(data):
        raise UsageError("`data get` takes a name or an address", where=data, hint=Call("data add", (data,)))
    plugin, name = registry.get("dataset", data), offered_name(data)
    source = None if source is None else expanded(source)
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
    url: str, settings: Settings, *, is_replacing: bool, is_remote: bool
) -> Generator[Progress, None, GetReport]:
    """Copy the dataset at an address under the last part of its name, unless it is in the store already."""
    name = path_name(Path(url))
    path = settings.data_dir / name
    is_work = is_replacing or name not in store_names(settings.data_dir)
    if is_work:
        yield from mirror(url, name, settings=settings, is_replacing=is_replacing, is_remote=is_remote)
    else:
        card = read_card(settings.data_dir, name)
        if card.source != url:
            raise UsageError(
                f"dataset '{name}' is already in the store, from another source",
                where=url,
                hint=[Setting("replace", note="replaces it"), Call("data show", (name,))],
            )
    return GetReport(name=name, path=path, card=read_card(settings.data_dir, name), done=is_work)
