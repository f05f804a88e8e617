"""What the registry holds, for `plugins list` and `plugins show`."""

import dataclasses
import inspect
from typing import Any

from resnetctl import registry
from resnetctl.errors import UsageError, suggest
from resnetctl.registry import Entry, Kind
from resnetctl.registry.probe import probe
from resnetctl.spec import Arch


def listing(kind: Kind | None = None, *, check: bool = False) -> list[dict[str, Any]]:
    """One row for each entry, by kind. With `check` each is imported, in another process, and the broken are marked."""
    kinds = registry.GROUPS if kind is None else (kind,)
    entries = [entry for group in kinds for entry in registry.entries(group)]
    found = probe([entry for entry in entries if entry.status in ("available", "clash")]) if check else {}
    return [_row(entry, found[entry].error if entry in found else "") for entry in entries]


def describe(name: str, kind: Kind | None = None) -> dict[str, Any]:
    """All that can be told of one object, after importing it.

    Raises:
        UsageError: no such name, or it is of several kinds.
        PluginError: it cannot be used.
    """
    found = _kind(name, kind)
    entry = registry.find(found, name)
    thing: Any = registry.get(found, name)
    facts = {key: value for key, value in dataclasses.asdict(entry).items() if key not in ("value", "status", "reason")}
    return facts | {"object": entry.value} | _DETAILS[found](thing)


def _row(entry: Entry, error: str) -> dict[str, Any]:
    row = dataclasses.asdict(entry)
    row["object"] = row.pop("value")
    return row | {"status": "broken", "reason": error} if error else row


def _kind(name: str, kind: Kind | None) -> Kind:
    if kind is not None:
        return kind
    bare = name.rpartition(":")[2]
    kinds = [group for group in registry.GROUPS if any(entry.name == bare for entry in registry.entries(group))]
    if not kinds:
        known = sorted({known for group in registry.GROUPS for known in registry.names(group)})
        raise UsageError(f"no plugin is called '{name}'", hint=[suggest(name, known), "resnetctl plugins list"])
    if len(kinds) > 1:
        raise UsageError(
            f"'{name}' is the name of several kinds: {', '.join(kinds)}",
            hint=f"resnetctl plugins show {name} --kind {kinds[0]}",
        )
    return kinds[0]


def _arch(arch: Arch) -> dict[str, Any]:
    from resnetctl.models.resnet import count_params

    classes, size = arch.reference
    facts = {key: value for key, value in arch.to_json().items() if key != "name"}
    return facts | {"params_counted": count_params(arch), "counted_at": f"{classes} classes, {size} px, 3 channels"}


def _object(thing: Any) -> dict[str, Any]:
    """Signature, source file and first line of the docs of a class or a function."""
    thing = getattr(thing, "func", thing)  # what a functools.partial wraps
    return {
        "signature": str(inspect.signature(thing)),
        "parameters": {
            name: str(item.replace(name="_")).lstrip("_*: ")
            for name, item in inspect.signature(thing).parameters.items()
        },
        "source": _file(thing),
        "summary": (inspect.getdoc(thing) or "").partition("\n")[0],
    }


def _policy(policy: Any) -> dict[str, Any]:
    return _object(policy.build) | {"summary": policy.summary, "paper": policy.paper, "mirrors": policy.mirrors}


def _dataset(dataset: Any) -> dict[str, Any]:
    card = dataset.card
    return {
        "classes": list(card.classes),
        "splits": dict(card.splits),
        "licence": card.licence,
        "homepage": card.source,
        "source": _file(type(dataset)),
        "summary": (inspect.getdoc(type(dataset)) or "").partition("\n")[0],
    }


def _file(thing: Any) -> str | None:
    try:
        return inspect.getsourcefile(thing)
    except (OSError, TypeError):
        return None  # built-in or made at run time


_DETAILS = {"arch": _arch, "block": _object, "policy": _policy, "dataset": _dataset}
