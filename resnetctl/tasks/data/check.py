"""`data check`: look for problems that spoil a training run, in a stored dataset or in a source."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from resnetctl.data.cards import missing, store_names
from resnetctl.errors import DataError
from resnetctl.facts import Notice, Progress
from resnetctl.hints import Call
from resnetctl.system.plain_files import expanded
from resnetctl.system.settings import Settings
from resnetctl.tasks import remarks
from resnetctl.tasks.data.reports import CheckReport
from resnetctl.tasks.datasets import path_name, read_and_store

if TYPE_CHECKING:
    from resnetctl.data.checks import Finding
    from resnetctl.tasks.near import NearPair

    _NearFound = tuple[tuple[NearPair, ...] | None, list[Finding]]


def check(target: str, settings: Settings, *, near: bool = False) -> Generator[Notice | Progress, None, CheckReport]:
    """Check a dataset in the store, by name, or a source before it is added, by path.

    With `near`, images of test that train has too, a little changed, become pairs; they are warnings. A source is split
    for this as `data add` would split it, in a temporary folder.

    Problems of images become findings; `failed` of the report is True if one of them is an error. Raises `DataError`
    when there is no such dataset or path, or the source cannot be read at all.
    """
    from resnetctl.data.checks import Auditor, check_source, check_store
    from resnetctl.data.dense.checks import check_dense_source, check_dense_store
    from resnetctl.data.dense.sniff import Dense, open_any
    from resnetctl.data.image_files import skipped
    from resnetctl.data.store import open_store

    auditor, pairs = Auditor(), None
    if target in store_names(settings.data_dir):
        store = open_store(settings.data_dir, target)
        yield from remarks.on_name(store.card, Call("data check", (f"./{target}",), note="checks the one here"))
        judge = check_store if store.card.truth == "labels" else check_dense_store
        total = yield from _watched(judge(store, auditor), target, total=sum(store.card.splits.values()))
    elif expanded(target).exists():
        with open_any(Path(target)) as source:
            if isinstance(source, Dense):
                work, total = check_dense_source(source, auditor), len(source.annotated.scenes)
            else:
                yield from map(Notice, filter(None, [skipped(source.ignored)]))
                work, total = check_source(source, auditor), source.total
            yield from _watched(work, target, total=total)
    else:
        raise missing(settings.data_dir, target)
    if near:
        pairs, findings = yield from _near(target, settings)
        auditor.findings += findings
    return CheckReport(target=target, images=total, findings=tuple(auditor.findings), pairs=pairs)


def _near(target: str, settings: Settings) -> Generator[Notice | Progress, None, _NearFound]:
    """Return near-duplicates of a stored dataset or of a source, and the findings; no pairs if it cannot be stored."""
    from resnetctl.data.storage.options import Options
    from resnetctl.data.store import open_store
    from resnetctl.tasks.near import near_duplicates

    if target in store_names(settings.data_dir):
        found, findings = yield from near_duplicates(open_store(settings.data_dir, target))
        return tuple(found), findings
    yield Notice(f"{target} is split as `data add` would split it, in a temporary folder; nothing is kept")
    with TemporaryDirectory(prefix="resnetctl-check-") as folder:
        place, name = replace(settings, data_dir=Path(folder)), path_name(expanded(target))
        try:
            yield from read_and_store(
                expanded(target), name, settings=place, options=Options(on_bad_image="skip", storage="raw")
            )
        except DataError as error:
            yield Notice(f"near-duplicates are not searched, because `data add` refuses {target}: {error.message}")
            return None, []
        found, findings = yield from near_duplicates(open_store(place.data_dir, name))
        return tuple(found), findings


def _watched(work: Generator[int, None, None], target: str, *, total: int) -> Generator[Progress, None, int]:
    """Yield the progress of a check; return its number of images."""
    for done in work:
        yield Progress(what=f"checking {target}", done=done, total=total, unit="images")
    return total
