"""`data get URL`: copy a dataset of another store, whose folder a web server publishes.

The card is believed. It has the digests of the split files, whose headers have those of the shards and of the truth. So
every other byte is verified, file by file, before the dataset appears. An interrupted copy goes on where it stopped.

The shards of a remote dataset stay on the server. They are fetched when they are read (`data.storage.cache`).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from resnetctl import fields
from resnetctl.data.cards import CARD, MANIFEST, MAX_LINE, card_bytes, parse_card
from resnetctl.errors import DataError, UsageError
from resnetctl.facts import Progress
from resnetctl.hints import Call, Setting
from resnetctl.spec import DatasetCard
from resnetctl.system import storage
from resnetctl.system.download import Remote, fetch, read, watched
from resnetctl.system.plain_files import open_regular
from resnetctl.system.safetensors import read_layout
from resnetctl.system.settings import Settings
from resnetctl.tasks.datasets import DOWNLOADS, ELSEWHERE, as_progress

if TYPE_CHECKING:
    from resnetctl.system.safetensors import Layout

AGAIN = "run the command again: it goes on where it stopped"
PER_IMAGE = 128  # bytes of an image in a split file, besides its pixels: labels, places and digests
ROOM = 2**21  # bytes of the header of a split file, and of an empty file
MAX_TRUTH = 2**33  # bytes of a file of boxes or masks


def mirror(
    url: str, name: str, *, settings: Settings, is_replacing: bool, is_remote: bool = False
) -> Generator[Progress, None, None]:
    """Copy the dataset at `url` into the store as `name`; yield the progress of each file.

    With `is_remote`, its shards are left out, and an epoch follows them by default (`sampler`).

    Raises:
        UsageError: a dataset of pixels cannot be remote.
        DataError: a file cannot be fetched, or is not the one that the card means. Nothing is stored.
        UsageError: the data folder cannot be written.
        WorkFailed: the disk is too full.
    """
    storage.require_writable(settings.data_dir, hint=ELSEWHERE)
    card = replace(_published_card(url), name=name, source=url, remote="")
    if is_remote:
        card = _without_shards(card, url)
    cache = settings.data_dir / DOWNLOADS / name
    files: list[Path] = []
    for split, count in card.splits.items():
        limit = count * (card.image.resize**2 * card.image.channels + PER_IMAGE) + ROOM
        main = Remote(name=f"{split}.safetensors", urls=(), digest=_sha256(card.digests.get(split, "")), limit=limit)
        files.append((yield from _fetched(main, url, cache)))
        with open_regular(files[-1], error=DataError) as file:
            layout = read_layout(file, f"{url}/{main.name}", error=DataError)
        shards = [] if is_remote else list(_shards(layout, split, room=cache))
        for remote in (*shards, *_truth(layout, split)):
            files.append((yield from _fetched(remote, url, cache)))
    if MANIFEST in card.digests:
        limit = sum(card.splits.values()) * MAX_LINE
        remote = Remote(name=MANIFEST, urls=(), digest=_sha256(card.digests[MANIFEST]), limit=limit)
        files.append((yield from _fetched(remote, url, cache)))
    _require_sound(card, cache, url)
    with storage.staged_folder(settings.data_dir / name, replace=is_replacing) as folder:
        for path in files:
            storage.move(path, folder / path.name)
        storage.write(folder / CARD, card_bytes(card))
    storage.remove(cache)


def _without_shards(card: DatasetCard, url: str) -> DatasetCard:
    if card.storage == "raw":
        raise UsageError(
            f"'{card.name}' has pixels, and only files can stay on a server",
            where=Setting("remote"),
            hint=[
                Call("data get", (url,), note="copies it"),
                Call("data add", ("PATH",), {"storage": "jpeg"}, note="makes a dataset of files to publish"),
            ],
        )
    return replace(card, remote=url, defaults={**card.defaults, "sampler": "windowed"})


def _require_sound(card: DatasetCard, folder: Path, url: str) -> None:
    """Raise `DataError` unless files that agree with their digests are those of a dataset."""
    from resnetctl.data.store import Store

    for split in card.splits:
        try:
            Store(folder, card).split(split)  # type: ignore[arg-type]
        except DataError as error:
            raise DataError(f"what is published is not a dataset: {error.message}", where=url) from error


def _published_card(url: str) -> DatasetCard:
    place = f"{url}/{CARD}"
    data = read(place, limit=storage.MAX_DOCUMENT)
    try:
        return parse_card(fields.read_json(data))
    except (ValueError, TypeError) as error:
        raise DataError(f"this is not the card of a dataset: {error}", where=place) from error


def _shards(layout: Layout, split: str, *, room: Path) -> Iterator[Remote]:
    """Yield the shards of a split. Raises `WorkFailed` when they do not fit on the disk."""
    from resnetctl.data.storage.files import SHARD_BYTES, SHARDS
    from resnetctl.data.storage.shards import shard_path

    digests = layout.metadata.get(SHARDS, "").split()
    missing = [shard_path(Path(f"{split}.x"), number).name for number in range(len(digests))]
    absent = sum(not (room / name).is_file() for name in missing)
    storage.require_space(room, max(0, absent - 1) * SHARD_BYTES)
    for name, digest in zip(missing, digests, strict=True):
        yield Remote(name=name, urls=(), digest=_sha256(digest), limit=SHARD_BYTES)


def _truth(layout: Layout, split: str) -> Iterator[Remote]:
    """Yield the file of the boxes or masks of a split, if it has one."""
    from resnetctl.data.dense.stored import TRUTH, truth_name

    if TRUTH in layout.metadata:
        yield Remote(
            name=truth_name(split),  # type: ignore[arg-type]
            urls=(),
            digest=_sha256(layout.metadata[TRUTH]),
            limit=MAX_TRUTH,
        )


def _fetched(remote: Remote, url: str, cache: Path) -> Generator[Progress, None, Path]:
    placed = replace(remote, urls=(f"{url}/{remote.name}",))
    work = watched(lambda: fetch(placed, cache, hint=(AGAIN,)), remote.name)
    return (yield from as_progress(work, f"downloading {remote.name}", unit="B"))


def _sha256(digest: str) -> str:
    """Return a digest as `Remote` writes it. Raises `DataError` unless it is a whole SHA-256 in hex."""
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise DataError(f"the published dataset has no SHA-256 where one must be, but '{digest[:80]}'")
    return f"sha256:{digest}"
