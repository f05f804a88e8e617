"""Store the images of a dataset plugin: fetch and read them, and compare their counts with the plugin's card.

An unexpected exception in the plugin becomes a `PluginError` with its name and version.
"""

import dataclasses
from collections.abc import Generator
from pathlib import Path
from typing import Any

from resnetctl import registry
from resnetctl.data.store import build
from resnetctl.errors import DataError, PluginError, ResnetctlError, own_line
from resnetctl.hints import Call
from resnetctl.spec import SPLITS, Dataset, Split
from resnetctl.system.download import watched

REPORT_EVERY = 1000  # images


def fetch(plugin: Dataset, cache: Path, *, source: Path | None) -> Generator[tuple[int, int | None], None, Path]:
    """Run the plugin's `fetch`; yield (bytes done, total bytes) of its downloads, and return the path to read.

    `fetch` runs in a thread, so that progress can be reported while it works.

    Raises:
        DataError: the data cannot be fetched.
        PluginError: the plugin fails.
    """

    def work() -> Path:
        try:
            return plugin.fetch(cache, source)
        except ResnetctlError:
            raise
        except BaseException as error:
            raise _plugin_failed(plugin.card.name, error) from error

    return (yield from watched(work, plugin.card.name))


def ingest_plugin(
    data_dir: Path, name: str, *, plugin: Dataset, path: Path, replace: bool
) -> Generator[int, None, None]:
    """Read the plugin's splits from `path` and store them as dataset `name`; yield the number of images stored so far.

    Raises:
        DataError: the images do not match the plugin's card; nothing is stored.
        PluginError: the plugin fails.
        UsageError: the name is taken and `replace` is off.
    """
    card = plugin.card
    draft = dataclasses.replace(card, digests={}, splits={}, storage="raw")  # a plugin gives arrays, no files
    done = 0
    with build(data_dir, name, draft=draft, replace=replace) as builder:
        builder.digests.update(card.digests)
        for split in (split for split in SPLITS if split in card.splits):
            for row, (image, label) in enumerate(_read(plugin, path, split)):
                builder.add_array(split, image, label=label, name=f"{split}/{row:05d}")
                done += 1
                if done % REPORT_EVERY == 0:
                    yield done
        if builder.counts != dict(card.splits):
            raise DataError(
                f"dataset '{name}' has {builder.counts}, but its card says {dict(card.splits)}", where=str(path)
            )
    yield done


def _read(plugin: Dataset, path: Path, split: Split) -> Generator[tuple[Any, str], None, None]:
    try:
        yield from plugin.read(path, split)
    except ResnetctlError:
        raise
    except Exception as error:
        raise _plugin_failed(plugin.card.name, error) from error


def _plugin_failed(name: str, error: BaseException) -> PluginError:
    entries = [entry for entry in registry.entries("dataset") if entry.name == name]
    owner = f" of {entries[0].distribution} {entries[0].version}" if len(entries) == 1 else ""
    return PluginError(
        f"dataset '{name}'{owner} failed: {type(error).__name__}: {error}",
        where=own_line(error) or None,
        hint=Call("plugins check", (name,)),
    )
