"""What a user should know of the weights that are used, such as that they are not final, and of the data."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import resnetctl.runs as runs
from resnetctl.errors import DataError
from resnetctl.facts import Notice
from resnetctl.hints import Call, Hint, Setting
from resnetctl.registry.code import edited
from resnetctl.runs import RunDir
from resnetctl.spec import DatasetCard

LOOKED_AT = 50_000  # images: the names of a larger folder are not read only to see whether it changed


def on_weights(run: RunDir) -> Iterator[str]:
    """Yield a sentence if the weights are not the final ones, and one if plugins of the run have other code now."""
    if run.is_running():
        yield f"{run.path} is still running: using its weights so far"
    elif run.failure() is not None:
        yield f"{run.path} failed after epoch {len(run.metrics())}: using the last good weights"
    elif run.summary() is None:
        yield f"{run.path} is not finished: using its weights so far; resume the run to finish it"
    if names := edited(run.code()):
        several = len(run.used_plugins()) > 1
        trained = f"epoch {run.kept_epoch()} of {run.path}, whose weights are kept," if several else str(run.path)
        yield f"the code of {' and '.join(names)} was changed since {trained} was trained: its network may differ"


def on_last(run: RunDir, folder: Path) -> Iterator[str]:
    """Yield that a run in a group is newer than `run`, which was taken as the last one."""
    newest = runs.newest_in_groups(folder)
    if newest is not None and newest.created() > run.created():
        yield f"{run.name} is the last run outside of groups; {newest.name} is newer: name it to use it"


def on_data(card: DatasetCard) -> Iterator[Notice]:
    """Yield a notice if a stored dataset is not what lies here under its name, and one if its folder has changed."""
    from resnetctl.data.dense.sniff import listing_of
    from resnetctl.data.ingest.images import LISTING

    yield from on_name(card, Setting("data", f"./{card.name}", note="is the one here"))
    source, images = Path(card.source), sum(card.splits.values())
    if LISTING not in card.digests or card.truth != "labels" or images > LOOKED_AT or not source.is_dir():
        return
    with contextlib.suppress(DataError, OSError):
        if listing_of(source) != card.digests[LISTING]:
            yield Notice(
                f"{source} changed since it was added to the store as '{card.name}': this uses the stored images",
                hint=(Call("data add", (source,), {"name": card.name, "replace": True}, note="reads it again"),),
            )


def on_name(card: DatasetCard, other: Hint) -> Iterator[Notice]:
    """Yield a notice if a file or folder here has the name of a stored dataset that was made of something else."""
    here = Path(card.name)
    with contextlib.suppress(OSError):
        if here.exists() and str(here.resolve()) != card.source:
            source = f", from {card.source}" if card.source else ""
            yield Notice(f"this is '{card.name}' of the store{source}, not ./{card.name}", hint=(other,))
