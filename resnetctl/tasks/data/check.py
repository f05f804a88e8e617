"""`data check`: look for problems that spoil a training run, in a stored dataset or in a source."""

from collections.abc import Generator
from pathlib import Path

from resnetctl.data.cards import missing, store_names
from resnetctl.errors import UsageError
from resnetctl.facts import Notice, Progress
from resnetctl.hints import Call, Setting
from resnetctl.system.plain_files import expanded
from resnetctl.system.settings import Settings
from resnetctl.tasks.data.reports import CheckReport


def check(target: str, settings: Settings, *, near: bool = False) -> Generator[Notice | Progress, None, CheckReport]:
    """Check a dataset in the store, by name, or a source before it is added, by path.

    With `near`, images of test that train has too, a little changed, become pairs; they are warnings.

    Problems of images become findings; `failed` of the report is True if one of them is an error. Raises `DataError`
    when there is no such dataset or path, or the source cannot be read at all, and `UsageError` for `near` with a path.
    """
    from resnetctl.data.checks import Auditor, check_source, check_store
    from resnetctl.data.dense.checks import check_dense_source, check_dense_store
    from resnetctl.data.dense.sniff import Dense, open_any
    from resnetctl.data.image_files import skipped
    from resnetctl.data.store import open_store
    from resnetctl.tasks.near import near_duplicates

    auditor, pairs = Auditor(), None
    if near and target not in store_names(settings.data_dir):
        raise UsageError(
            "near-duplicates are searched in stored datasets", where=Setting("near"), hint=Call("data add", (target,))
        )
    if target in store_names(settings.data_dir):
        store = open_store(settings.data_dir, target)
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
        found, findings = yield from near_duplicates(open_store(settings.data_dir, target))
        pairs, auditor.findings = tuple(found), [*auditor.findings, *findings]
    return CheckReport(target=target, images=total, findings=tuple(auditor.findings), pairs=pairs)


def _watched(work: Generator[int, None, None], target: str, *, total: int) -> Generator[Progress, None, int]:
    """Yield the progress of a check; return its number of images."""
    for done in work:
        yield Progress(what=f"checking {target}", done=done, total=total, unit="images")
    return total
