"""Dataset cards in the store, and the names of datasets. Imports no numpy."""

import contextlib
import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from resnetctl.errors import DataError, UsageError
from resnetctl.hints import Call, Hint, Setting, suggest
from resnetctl.registry import NAME
from resnetctl.spec import SPLITS, DatasetCard
from resnetctl.system import storage
from resnetctl.system.exchange import restore_replaced
from resnetctl.system.plain_files import close_path, expanded, is_path, open_regular

CARD = "card.json"
MANIFEST = "manifest.jsonl"
MAX_LINE = 2**16  # bytes of a line of the manifest
LOOKS = "looks"  # a folder in the data folder that is no dataset


def store_names(data_dir: Path) -> list[str]:
    """Return the names of the datasets in `data_dir`, sorted; none when the folder is missing."""
    if not data_dir.is_dir():
        return []
    restore_replaced(data_dir)
    return sorted(path.parent.name for path in data_dir.glob(f"*/{CARD}") if NAME.fullmatch(path.parent.name))


def read_card(data_dir: Path, name: str) -> DatasetCard:
    """Return the card of dataset `name`. Raises `DataError` when the dataset is missing or its card unreadable."""
    path = data_dir / name / CARD
    if not NAME.fullmatch(name) or not path.is_file():
        raise missing(data_dir, name)
    try:
        return parse_card(storage.read_json(path, error=DataError))
    except (DataError, ValueError, TypeError) as error:
        reason = error.message if isinstance(error, DataError) else error
        raise DataError(
            f"the card of dataset '{name}' cannot be read: {reason}",
            where=str(path),
            hint=[Call("data remove", (name,)), "then get or add it again"],
        ) from error


def parse_card(values: dict[str, Any]) -> DatasetCard:
    """Return the card of a stored dataset. Raises `ValueError` or `TypeError` for values that it cannot have."""
    card = DatasetCard.from_json(values)
    if not NAME.fullmatch(card.name):  # it becomes a part of file names
        raise ValueError(f"'name' is {card.name[:80]!r}, which cannot name a dataset")
    if not card.classes:
        raise ValueError("'classes' is empty")
    for split, count in card.splits.items():
        if split not in SPLITS or count < 1:
            raise ValueError(f"'splits' has {count} images in '{split[:80]}'")
    return card


def manifest_names(folder: Path, split: str, *, rows: Collection[int]) -> dict[int, str]:
    """Return the source names of `rows` of a split. Rows that the manifest lacks are left out."""
    wanted, names = set(rows), {}
    damage = (DataError, OSError, ValueError, KeyError, TypeError, RecursionError)
    with contextlib.suppress(*damage), open_regular(folder / MANIFEST, error=DataError) as file:
        while line := file.readline(MAX_LINE):
            entry = json.loads(line)
            if entry["split"] == split and entry["row"] in wanted:
                names[int(entry["row"])] = str(entry["name"])
    return names


def card_bytes(card: DatasetCard) -> bytes:
    """Return the content of `card.json`. Names that are not valid Unicode are written as escapes."""
    return json_line(card.to_json(), indent=1)


def json_line(values: dict[str, Any], indent: int | None = None) -> bytes:
    """Return a line of JSON in ASCII, because file names that are not Unicode have surrogates, which need escapes."""
    return (json.dumps(values, ensure_ascii=True, indent=indent) + "\n").encode("ascii")


def missing(data_dir: Path, name: str) -> DataError:
    """Return the error for a dataset that is not in the store, or for a path in place of its name."""
    from resnetctl import registry

    if is_path(name):
        if expanded(name).exists():
            return DataError(
                "this is not the name of a stored dataset", where=name, hint=Call("data add", (name,), note="stores it")
            )
        hint: list[Hint] = [*close_path(name), Call("data list", note="lists the stored datasets")]
        return DataError("no such file or folder", where=name, hint=hint)
    offered = registry.names("dataset")
    if name in offered:
        return DataError(
            f"dataset '{name}' is not in the store yet", where=str(data_dir), hint=Call("data get", (name,))
        )
    return DataError(
        f"no dataset is called '{name}'",
        where=str(data_dir),
        hint=[
            *close_path(f"./{name}"),
            suggest(name, {*store_names(data_dir), *offered}),
            Call("data get", ("NAME",)),
            Call("data add", ("PATH",), {"name": "NAME"}),
        ],
    )


def check_name(name: str) -> None:
    """Raise `UsageError` unless `name` can name a dataset: it must be a valid folder name on every system."""
    if name == LOOKS:
        raise UsageError(f"'{LOOKS}' cannot name a dataset: this folder records looks at test splits")
    if not NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' cannot name a dataset: use letters, digits, '.', '_', '+' and '-', at most 100",
            hint=Call("data add", ("PATH",), {"name": derive_name(Path(name))}),
        )


def exists(name: str) -> UsageError:
    """Return the error for a name that is taken."""
    return UsageError(
        f"dataset '{name}' is already in the store",
        hint=[
            Call("data show", (name,)),
            Setting("replace", note="replaces it"),
            Setting("name", "OTHER", note="stores it under another name"),
        ],
    )


def derive_name(path: Path) -> str:
    """Return the store's name for a path: its last part without archive suffixes, as a valid folder name."""
    last = path.name if path.name not in ("", "..") else path.resolve().name
    bare = re.sub(r"(\.tar)?\.(tar|gz|tgz|xz|txz|zip|csv)$", "", last.lower())
    return re.sub(r"[^a-z0-9._]+", "-", bare).strip("-._")[:100] or "images"
