"""`data list|get|add|show|check|remove`, and `ensure` for whoever trains on a name or a path.

What takes long is a generator of facts that returns its report. Only `listing` and `remove` do without numpy.
"""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import shlex
import tempfile
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from resnetctl import registry
from resnetctl.data.cards import check_name, derive_name, missing, read_card, store_names
from resnetctl.errors import DataError, PluginError, ResnetctlError, UsageError, own_line, suggest
from resnetctl.facts import Notice, Progress
from resnetctl.spec import SPLITS, Dataset, DatasetCard, Fit, Split
from resnetctl.system import storage
from resnetctl.system.settings import Settings
from resnetctl.tasks.data import reports
from resnetctl.tasks.data.reports import CheckReport, DataReport, Listed, ListReport, ShowReport

Facts = Generator[Notice | Progress, None, DataReport]
ELSEWHERE = "RESNETCTL_DATA_DIR=FOLDER chooses another place for data"
DOWNLOADS = ".downloads"  # under the data folder; no dataset can have this name
_REPORT_EVERY = 1000  # images of a plugin between two facts


@dataclass(frozen=True, kw_only=True)
class AddRequest:
    """What `data add` was asked for.

    `name` None: that of the path. `size` None: images of one size up to 64 stay as they are, others are stored at 256.
    """

    path: Path
    name: str | None = None
    size: int | None = None
    fit: Fit = "crop"
    on_bad_image: Literal["error", "skip"] = "error"
    replace: bool = False


def listing(settings: Settings) -> ListReport:
    """Everything in the store and every dataset plugin, by name. Imports no plugin."""
    offered = {entry.name: entry for entry in registry.entries("dataset") if entry.status == "available"}
    names = sorted({*offered, *store_names(settings.data_dir)})
    rows = [_listed(name, offered[name].distribution if name in offered else None, settings) for name in names]
    return ListReport(data_dir=settings.data_dir, datasets=tuple(rows))


def get(name: str, settings: Settings, *, source: Path | None = None, replace: bool = False) -> Facts:
    """Fetch a dataset plugin's images and store them. One that is there already stays, unless `replace`.

    Raises:
        UsageError: no plugin has this name, or a `source` is given for what is there.
        DataError: the data cannot be had, or is not what the plugin's card promises.
        PluginError: the plugin fails.
    """
    plugin = registry.get("dataset", name)
    stored = name.replace(":", "-")  # `dist:name` of a clash
    check_name(stored)
    path = settings.data_dir / stored
    if stored in store_names(settings.data_dir) and not replace:
        if source is not None:
            raise UsageError(f"dataset '{stored}' is in the store already", hint="add --replace to read it anew")
        return reports.GetReport(name=stored, path=path, card=read_card(settings.data_dir, stored), done=False)
    storage.require_writable(settings.data_dir, hint=ELSEWHERE)
    fetched = yield from _fetched(plugin, settings.data_dir / DOWNLOADS, source)
    try:
        yield from _stored(plugin, fetched, stored, settings=settings, replace=replace)
    except UsageError:
        if replace or stored not in store_names(settings.data_dir):  # else another process was faster, with the same
            raise
    return reports.GetReport(name=stored, path=path, card=read_card(settings.data_dir, stored))


def add(request: AddRequest, settings: Settings) -> Facts:
    """Store a folder, an archive or a CSV file of images under a name.

    Raises:
        UsageError: the name is taken, or no dataset can have it.
        DataError: the source has no usable layout, or images are bad; all are listed.
    """
    from resnetctl.data.ingest import Options, ingest
    from resnetctl.data.reading.sniff import open_source
    from resnetctl.data.store import exists
    from resnetctl.system.machine import cores_granted

    origin = request.path.expanduser()
    if not origin.exists():
        raise DataError(f"no such file or folder: {request.path}", where="PATH")
    name = _stored_name(origin) if request.name is None else request.name
    check_name(name)
    if name in registry.names("dataset"):
        raise UsageError(f"'{name}' is the name of a dataset plugin", where="--name", hint="choose another")
    path = settings.data_dir / name
    if path.exists() and not request.replace:
        if request.name is None:
            _require_source(read_card(settings.data_dir, name), origin, where="PATH")
        raise exists(name)
    storage.require_writable(settings.data_dir, hint=ELSEWHERE)
    yield Notice(text=f"reading {request.path}")
    source = open_source(origin)
    if len(source.classes) == 1:
        yield Notice(
            text=f"there is one class, '{source.classes[0]}': to train, add the folder with a folder per class"
        )
    options = Options(size=request.size, fit=request.fit, on_bad_image=request.on_bad_image, replace=request.replace)
    cores = settings.threads or cores_granted()
    try:
        for done in ingest(settings.data_dir, name, source=source, options=options, cores=cores):
            yield Progress(what=f"adding {name}", done=done, total=source.total, unit="images")
    except UsageError:
        if path.exists() and not request.replace:  # another process was faster
            raise exists(name) from None
        raise
    return reports.AddReport(name=name, path=path, card=read_card(settings.data_dir, name))


def show(name: str, settings: Settings, *, sheet: Path | None = None, split: Split = "train") -> ShowReport:
    """Count a dataset by class and split, and write a contact sheet of `split` where one is asked for.

    Raises `DataError` when the dataset is missing or damaged, `UsageError` when the sheet cannot be written.
    """
    from resnetctl.data.checks import count_classes
    from resnetctl.data.sheet import write_sheet
    from resnetctl.data.store import open_store

    store = open_store(settings.data_dir, name)
    if sheet is not None:
        write_sheet(store, sheet, split=split)
    return ShowReport(name=name, path=store.path, card=store.card, counts=count_classes(store), sheet=sheet)


def check(target: str, settings: Settings) -> Generator[Notice | Progress, None, CheckReport]:
    """Look for what makes a dataset bad: in the store by name, or at a path before it is added.

    Findings are data; the report's `failed` says whether one is an error. Raises `DataError` when there is no such
    dataset or path, or a source that cannot be read at all.
    """
    from resnetctl.data.checks import Auditor, check_source, check_store
    from resnetctl.data.reading.sniff import open_source
    from resnetctl.data.store import open_store

    auditor = Auditor()
    if target in store_names(settings.data_dir):
        store = open_store(settings.data_dir, target)
        total, work = sum(store.card.splits.values()), check_store(store, auditor)
    elif Path(target).expanduser().exists():
        source = open_source(Path(target))
        total, work = source.total, check_source(source, auditor)
    else:
        raise missing(settings.data_dir, target)
    for done in work:
        yield Progress(what=f"checking {target}", done=done, total=total, unit="images")
    return CheckReport(target=target, images=total, findings=tuple(auditor.findings))


def remove(name: str, settings: Settings) -> reports.RemoveReport:
    """Delete a dataset from the store, also one whose card is damaged. Raises `DataError` when it is missing."""
    if name not in store_names(settings.data_dir):
        raise missing(settings.data_dir, name)
    path = settings.data_dir / name
    storage.remove(path)
    return reports.RemoveReport(name=name, path=path, card=None)


def ensure(data: str, settings: Settings) -> Generator[Notice | Progress, None, str]:
    """The store's name for `--data DATA`: a dataset's name, or a path, which is added when it is not there yet.

    Raises:
        DataError: nothing has this name, or it cannot be had.
        UsageError: the path's name is taken by something else, or the path changed since it was added.
    """
    kind = identify(data, settings)
    if kind == "stored":
        return data
    if kind == "offered":
        yield Notice(text=f"'{data}' is not in the store yet: getting it")
        return (yield from get(data, settings)).name
    return (yield from _ensure_path(Path(data).expanduser(), settings))


def identify(data: str, settings: Settings) -> Literal["stored", "offered", "path"]:
    """What `--data DATA` means, in the store, to be had or on disk. Raises `DataError` when it is nothing of these."""
    if not _is_path(data):
        if data in store_names(settings.data_dir):
            return "stored"
        if data in registry.names("dataset") or ":" in data:
            return "offered"
    if not Path(data).expanduser().exists():
        raise _nothing(data, _is_path(data), settings)
    return "path"


def is_stored(data: str, settings: Settings) -> bool:
    """Whether `ensure` finds `data`, a name or a path, in the store and neither fetches nor adds anything."""
    path = Path(data).expanduser()
    name = _stored_name(path) if _is_path(data) or path.exists() else data
    return {data, name}.intersection(store_names(settings.data_dir)) != set()


@contextlib.contextmanager
def scratch(settings: Settings, data: str, *, dry_run: bool) -> Iterator[Settings]:
    """The settings; in a dry run on data that is not in the store yet, with a data folder that goes away."""
    if not dry_run or is_stored(data, settings):
        yield settings
        return
    with tempfile.TemporaryDirectory(prefix="resnetctl-dry-run-") as folder:
        yield dataclasses.replace(settings, data_dir=Path(folder))


def _is_path(data: str) -> bool:
    return "/" in data or "\\" in data or data.startswith((".", "~"))


def _stored_name(path: Path) -> str:
    """The name under which a path is added; a dataset plugin's own name stays the plugin's."""
    name = derive_name(path)
    return f"{name}-local" if name in registry.names("dataset") else name


def _ensure_path(path: Path, settings: Settings) -> Generator[Notice | Progress, None, str]:
    from resnetctl.data.ingest import LISTING
    from resnetctl.data.reading.sniff import open_source

    name = _stored_name(path)
    if name not in store_names(settings.data_dir):
        yield Notice(text=f"adding {path} to the store as '{name}'")
        return (yield from add(AddRequest(path=path, name=name), settings)).name
    card = read_card(settings.data_dir, name)
    _require_source(card, path, where="--data")
    if card.digests.get(LISTING) != open_source(path).listing:
        raise UsageError(
            f"{path} changed since it was added to the store as '{name}'",
            where="--data",
            hint=[f"resnetctl data add {path} --name {name} --replace", f"or --data {name} for what is stored"],
        )
    yield Notice(text=f"{path} is in the store as '{name}'")
    return name


def _require_source(card: DatasetCard, path: Path, *, where: str) -> None:
    """Raise `UsageError` when the dataset that has the name of `path` came from somewhere else."""
    if card.source != str(path.resolve()):
        raise UsageError(
            f"the name '{card.name}' is taken in the store: it came from {card.source or 'elsewhere'}",
            where=where,
            hint=f"resnetctl data add {shlex.quote(str(path))} --name OTHER"
            + ", then --data OTHER" * (where == "--data"),
        )


def _nothing(data: str, looks_like_path: bool, settings: Settings) -> DataError:
    if looks_like_path:
        return DataError(f"no such file or folder: {data}", where="--data", hint="resnetctl data list")
    known = {*store_names(settings.data_dir), *registry.names("dataset")}
    return DataError(
        f"no dataset is called '{data}', and there is no such path",
        where="--data",
        hint=[suggest(data, known), "resnetctl data list"],
    )


def _listed(name: str, distribution: str | None, settings: Settings) -> Listed:
    if name not in store_names(settings.data_dir):
        return Listed(name=name, distribution=distribution, card=None)
    try:
        return Listed(name=name, distribution=distribution, card=read_card(settings.data_dir, name))
    except DataError as error:
        return Listed(name=name, distribution=distribution, card=None, problem=error.headline)


def _fetched(plugin: Dataset, cache: Path, source: Path | None) -> Generator[Notice | Progress, None, Path]:
    """Run the plugin's `fetch`; what it downloads is told while it does, so it works in a thread of its own."""
    from resnetctl.system.download import listening

    facts: queue.SimpleQueue[Progress | Path | BaseException] = queue.SimpleQueue()
    name = plugin.card.name

    def tell(done: int, total: int | None) -> None:
        facts.put(Progress(what=f"downloading {name}", done=done, total=total, unit="B"))

    def work() -> None:
        try:
            with listening(tell):
                facts.put(plugin.fetch(cache, source))
        except BaseException as error:  # handed to the thread that waits
            facts.put(error)

    threading.Thread(target=work, name=f"fetch {name}", daemon=True).start()
    while isinstance(fact := facts.get(), Progress):
        yield fact
    if isinstance(fact, ResnetctlError):
        raise fact
    if isinstance(fact, BaseException):
        raise _plugin_failed(name, fact) from fact
    return fact


def _stored(
    plugin: Dataset, path: Path, name: str, *, settings: Settings, replace: bool
) -> Generator[Notice | Progress, None, None]:
    """Read a plugin's splits into the store; wrong counts are an error before anything appears."""
    from resnetctl.data.store import build

    card = plugin.card
    draft = dataclasses.replace(card, digests={}, splits={})
    total = sum(card.splits.values())
    with build(settings.data_dir, name, draft=draft, replace=replace) as builder:
        builder.digests.update(card.digests)
        done = 0
        for split in (split for split in SPLITS if split in card.splits):
            for row, (image, label) in enumerate(_read(plugin, path, split)):
                builder.add_array(split, image, label=label, name=f"{split}/{row:05d}")
                done += 1
                if done % _REPORT_EVERY == 0:
                    yield Progress(what=f"storing {name}", done=done, total=total, unit="images")
        if builder.counts != dict(card.splits):
            raise DataError(
                f"dataset '{name}' has {builder.counts}, but its card says {dict(card.splits)}", where=str(path)
            )
    yield Progress(what=f"storing {name}", done=done, total=total, unit="images")


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
        hint=f"resnetctl plugins check {name}",
    )
