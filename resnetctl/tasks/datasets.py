"""Resolve `data=`: a dataset in the store, a dataset of a plugin, or a path. Datasets are stored on first use.

`train`, `finetune`, `bench` and the `data` verbs share this module. Its import loads no numpy.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from resnetctl import registry
from resnetctl.data.cards import check_name, derive_name, exists, read_card, store_names
from resnetctl.errors import DataError, UsageError
from resnetctl.facts import Doing, Notice, Progress
from resnetctl.hints import Call, Hint, Setting, suggest
from resnetctl.spec import Dataset, DatasetCard
from resnetctl.system import storage
from resnetctl.system.plain_files import close_path, expanded, is_path
from resnetctl.system.settings import Settings
from resnetctl.tasks import remarks
from resnetctl.wording import counted

if TYPE_CHECKING:
    from resnetctl.config.schema import TrainConfig
    from resnetctl.data.dense.sniff import Dense
    from resnetctl.data.reading.source import Source
    from resnetctl.data.storage.options import Options
    from resnetctl.engine.distributed import Team

ELSEWHERE = "RESNETCTL_DATA_DIR=FOLDER chooses another folder for data"
TURNS = 3  # of `Team.turn`
SHOWN = 10  # names in a notice
DOWNLOADS = ".downloads"  # in the data folder; no dataset can have this name
LIST = Call("data list")


def identify(data: str, settings: Settings) -> Literal["stored", "offered", "path"]:
    """Return whether `data` is in the store, offered by a plugin, or a path. Raises `DataError` if it is unknown."""
    if not is_path(data):
        if data in store_names(settings.data_dir):
            return "stored"
        if data in registry.names("dataset") or ":" in data:
            return "offered"
    if not expanded(data).exists():
        raise _unknown(data, settings)
    return "path"


def ensure(data: str, settings: Settings, *, is_kept: bool = True) -> Generator[Notice | Progress, None, str]:
    """Return the store's name for `data`. First fetch a plugin's dataset, or add a path, if it is not in the store.

    Args:
        is_kept: False says that the folder of `settings` is temporary (`scratch`), before anything is fetched or read.

    Raises:
        DataError: `data` is unknown, or cannot be fetched or read.
        UsageError: another dataset has the name of the path, or the path changed since it was added.
        PluginError: the plugin fails.
    """
    kind = identify(data, settings)
    if kind == "stored":
        yield from remarks.on_data(read_card(settings.data_dir, data))
        return data
    if not is_kept:
        verb = "data add" if kind == "path" else "data get"
        yield Notice(
            text=f"a dry run keeps nothing: '{data}' is read into a temporary folder",
            hint=(Call(verb, (data,), note="stores it first"),),
        )
    if kind == "path":
        return (yield from _ensure_path(expanded(data), settings))
    plugin, name = registry.get("dataset", data), offered_name(data)
    if name not in store_names(settings.data_dir):
        yield Doing(f"'{data}' is not in the store yet: getting it")
        yield from fetch_and_store(plugin, name, settings=settings)
    return name


def require_head_before(config: TrainConfig, settings: Settings) -> None:
    """Raise `ConfigError`, before anything is fetched, if the data of the config is offered and does not suit its head.

    Raises `DataError` if the data is unknown.
    """
    from resnetctl.training.dense import require_head

    if config.model.head and identify(config.data, settings) == "offered":
        require_head(config, registry.get("dataset", config.data).card)


def ensure_in_turn(
    data: str, settings: Settings, *, team: Team, is_kept: bool = True
) -> Generator[Notice | Progress, None, str]:
    """Return what `ensure` returns, in process 0 first, then in one of each other machine, then in the rest."""
    name = ""
    for turn in range(TURNS):
        if turn == team.turn:
            name = yield from ensure(data, settings, is_kept=is_kept)
        team.agree()
    return name


def is_stored(data: str, settings: Settings) -> bool:
    """Return whether `data`, a name or a path, is in the store, so that `ensure` has nothing to fetch or add."""
    path = expanded(data)
    name = path_name(path) if is_path(data) or path.exists() else data
    return {data, name}.intersection(store_names(settings.data_dir)) != set()


@contextlib.contextmanager
def scratch(settings: Settings, data: str, *, dry_run: bool) -> Iterator[Settings]:
    """Yield the settings. In a dry run on data that is not in the store, they have a temporary data folder."""
    if not dry_run or is_stored(data, settings):
        yield settings
        return
    with tempfile.TemporaryDirectory(prefix="resnetctl-dry-run-") as folder:
        yield dataclasses.replace(settings, data_dir=Path(folder))


def offered_name(data: str) -> str:
    """Return the store's name for a plugin's dataset: `dist:name`, with the distribution, becomes `dist-name`."""
    name = data.replace(":", "-")
    check_name(name)
    return name


def path_name(path: Path) -> str:
    """Return the store's name for a path. A name that a dataset plugin has gets the suffix `-local`."""
    name = derive_name(path)
    return f"{name}-local" if name in registry.names("dataset") else name


def fetch_and_store(
    plugin: Dataset, name: str, *, settings: Settings, source: Path | None = None, replace: bool = False
) -> Generator[Progress, None, None]:
    """Fetch a plugin's images, or take them from `source`, and store them as dataset `name`.

    Raises:
        UsageError: the data folder cannot be written.
        DataError: the data cannot be fetched, or does not match the plugin's card.
        PluginError: the plugin fails.
    """
    from resnetctl.data.ingest.plugin import fetch, ingest_plugin

    storage.require_writable(settings.data_dir, hint=ELSEWHERE)
    work = fetch(plugin, settings.data_dir / DOWNLOADS, source=source)
    path = yield from as_progress(work, f"downloading {plugin.card.name}", unit="B")
    total = sum(plugin.card.splits.values())
    try:
        for done in ingest_plugin(settings.data_dir, name, plugin=plugin, path=path, replace=replace):
            yield Progress(what=f"storing {name}", done=done, total=total, unit="images")
    except UsageError:
        if replace or name not in store_names(settings.data_dir):  # else another process stored the same images first
            raise


def read_and_store(
    path: Path, name: str, *, settings: Settings, options: Options, needs_classes: bool = False
) -> Generator[Notice | Progress, None, None]:
    """Store a folder, an archive or a CSV file of images as dataset `name`.

    Raises:
        UsageError: the name is taken, or the data folder cannot be written.
        DataError: the layout of the source is not supported, or images are bad (all are listed), or all images have one
            label and `needs_classes` is true; nothing is stored.
    """
    from resnetctl.data.dense.sniff import open_any

    target = settings.data_dir / name
    if target.exists() and not options.replace:
        raise exists(name)
    storage.require_writable(settings.data_dir, hint=ELSEWHERE)
    yield Doing(f"reading {path}")
    asked = options
    if target.exists():
        with contextlib.suppress(DataError):  # what is damaged is replaced all the same
            options = asked.like(read_card(settings.data_dir, name))
        if taken := options.taken_over(asked):
            yield Notice(text=f"stored as before: {taken}")
    with open_any(path) as source:
        if options.image_labels:
            source = _labelled(source)
        if needs_classes:
            _require_classes(source)
        try:
            yield from _stored(source, name, settings=settings, options=options)
        except DataError as error:
            error.hint = tuple(_repeated(hint, name, asked) for hint in error.hint)
            raise
        except UsageError:
            if target.exists() and not options.replace:  # another process was faster
                raise exists(name) from None
            raise


def _repeated(hint: Hint, name: str, asked: Options) -> Hint:
    """Return a hint to add the data otherwise, with everything else that was asked for."""
    if not isinstance(hint, Call) or hint.verb != "data add":
        return hint
    own_name = {} if path_name(Path(hint.targets[0])) == name else {"name": name}
    return dataclasses.replace(hint, settings={**asked.given(), **own_name, **hint.settings})


def _labelled(source: Source | Dense) -> Dense:
    """Return pictures with the classes of their boxes as labels. Raises `UsageError` for a source without boxes."""
    from resnetctl.data.dense.scenes import image_labels
    from resnetctl.data.dense.sniff import Dense

    if not isinstance(source, Dense):
        raise UsageError(f"{source.path} has no boxes, but one label an image", where=Setting("image_labels"))
    return Dense(source.files, image_labels(source.annotated))


def _require_classes(source: Source | Dense) -> None:
    """Raise `DataError` if images of one label have one class only."""
    from resnetctl.data.dense.sniff import Dense

    if isinstance(source, Dense) or len(source.classes) > 1:
        return
    hint = "a dataset is a folder with one folder per class, not one of these folders"
    raise DataError(
        f"there is one class with images, '{source.classes[0]}': nothing to learn",
        where=str(source.path),
        problems=[f"no image that can be read here: {source.path / name}" for name in source.empty],
        hint="put images into these folders, too" if source.empty else hint,
    )


def _stored(
    source: Source | Dense, name: str, *, settings: Settings, options: Options
) -> Generator[Notice | Progress, None, None]:
    from resnetctl.data.dense.ingest import ingest_dense
    from resnetctl.data.dense.sniff import Dense
    from resnetctl.data.ingest.images import ingest
    from resnetctl.system.machine import cores_granted

    if isinstance(source, Dense):
        if options.vectors is not None:
            raise UsageError(
                f"numbers go with images of one label, and {source.annotated.path} has {source.annotated.truth}",
                where=Setting("vectors"),
                hint="leave this setting out",
            )
        if options.shuffle:
            raise UsageError(
                f"only images of one label can be shuffled, and {source.annotated.path} has {source.annotated.truth}",
                where=Setting("shuffle"),
                hint="leave this setting out",
            )
        total, shown = len(source.annotated.scenes), f"{source.annotated.format}: {source.annotated.truth}"
        yield Doing(f"{shown} of {counted(len(source.annotated.classes), 'class')}")
        work = ingest_dense(settings.data_dir, name, source=source, options=options)
    else:
        total = source.total
        yield from _remarks(source)
        cores = settings.threads or cores_granted()
        work = ingest(settings.data_dir, name, source=source, options=options, cores=cores)
    for done in work:
        yield Progress(what=f"adding {name}", done=done, total=total, unit="images")


def _remarks(source: Source) -> Iterator[Notice]:
    from resnetctl.data.image_files import skipped

    if text := skipped(source.ignored):
        yield Notice(text=text)
    if source.empty:
        yield Notice(text=f"class folders without an image that can be read here: {_listed(source.empty)}")
    if len(source.classes) == 1:
        yield Notice(text=f"there is one class, '{source.classes[0]}': training needs a folder with a folder per class")


def require_source(card: DatasetCard, path: Path, *, where: str | Setting) -> None:
    """Raise `UsageError` when the dataset of `card` was not made from `path`."""
    if card.source != str(path.resolve()):
        hint = [Call("data add", (path,), {"name": "OTHER"})]
        raise UsageError(
            f"the name '{card.name}' is taken in the store, by a dataset from {card.source or 'an unknown source'}",
            where=where,
            hint=[*hint, Setting("data", "OTHER", note="then uses it")] if isinstance(where, Setting) else hint,
        )


def as_progress(
    work: Generator[tuple[int, int | None], None, Path], what: str, *, unit: str
) -> Generator[Progress, None, Path]:
    """Yield pairs (done, total) as facts; return the path."""
    while True:
        try:
            done, total = next(work)
        except StopIteration as end:
            path: Path = end.value
            return path
        yield Progress(what=what, done=done, total=total, unit=unit)


def _listed(names: Sequence[str]) -> str:
    """Return the first names, and the number of the others."""
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(f"'{name}'" for name in names[:SHOWN]) + more


def _ensure_path(path: Path, settings: Settings) -> Generator[Notice | Progress, None, str]:
    from resnetctl.data.dense.sniff import listing_of
    from resnetctl.data.ingest.images import LISTING
    from resnetctl.data.storage.options import Options

    name = path_name(path)
    if name not in store_names(settings.data_dir):
        yield Doing(f"adding {path} to the store as '{name}'")
        try:
            yield from read_and_store(path, name, settings=settings, options=Options(), needs_classes=True)
        except DataError as error:
            if any(isinstance(hint, Call) and hint.verb == "data add" for hint in error.hint):
                error.hint += (Setting("data", name, note="then uses it"),)
            raise
        return name
    card = read_card(settings.data_dir, name)
    require_source(card, path, where=Setting("data"))
    if card.digests.get(LISTING) != listing_of(path):
        raise UsageError(
            f"{path} changed since it was added to the store as '{name}'",
            where=Setting("data"),
            hint=[
                Call("data add", (path,), {"name": name, "replace": True}),
                Setting("data", name, note="uses the stored images"),
            ],
        )
    yield Doing(f"{path} is in the store as '{name}'")
    return name


def _unknown(data: str, settings: Settings) -> DataError:
    if is_path(data):
        hint: list[Hint] = [*close_path(data), LIST]
        return DataError(f"no such file or folder: {data}", where=Setting("data"), hint=hint)
    names = {*store_names(settings.data_dir), *registry.names("dataset")}
    return DataError(
        f"no dataset is called '{data}', and there is no such path",
        where=Setting("data"),
        hint=[suggest(data, names), LIST],
    )
