"""Options: each is declared once, as a field of a pydantic model. Flags, TOML keys, help and docs follow from it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_origin

from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from resnetctl.hints import OTHER_WORDS, nearest

USED = "Most used"  # the panel of the first help screen
POLICY_IN_FILE = 'in a file: augment = "NAME" at the top level, and its arguments in the table [augment_args]'


@dataclass(frozen=True, kw_only=True)
class Flag:
    """One command-line flag, which sets one config key. `key` is dotted: `model.arch`."""

    key: str
    flag: str
    field: FieldInfo
    short: str | None = None
    metavar: str | None = None
    panel: str = "Other"
    complete: str | None = None  # registry kind whose names complete it
    default: Any = None
    follows: str = ""  # what the default is, if the data, the arch or the weights decide it

    @property
    def help(self) -> str:
        return self.field.description or ""


def complaint(item: ErrorDetails) -> str:
    """Return pydantic's complaint about a value, worded to follow the key: `should be a valid integer`."""
    message = item["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return message.partition(", unable to parse")[0]


def not_a_number(value: object, kind: object) -> str:
    """Return what is wrong with a value, if a key of this type takes a number: pydantic takes true and "1" for 1."""
    is_wrong = isinstance(value, bool) and kind in (int, float, int | str, float | str)
    if is_wrong or (isinstance(value, str) and kind in (int, float)):
        return f"should be a number, not {str(value).lower() if is_wrong else repr(value)[:40]}"
    return ""


def option(default: Any, help: str, *, panel: str = "Other", **more: Any) -> Any:
    """Return a pydantic field that also carries what the command line needs.

    Args:
        panel: the help panel. `USED` puts the flag on the first help screen, the others are under `--help-all`.
        more: `flag` (the flag of a nested key; a top-level key names its own), `short`, `metavar`, `complete` (the
            registry kind whose names complete the value), and pydantic's constraints.
    """
    extra = {"panel": panel} | {name: more.pop(name, None) for name in ("flag", "short", "metavar", "complete")}
    return Field(default, description=help, json_schema_extra=extra, **more)


def advice_on_toml(reason: str, text: str) -> str:
    """Return what to write when TOML refuses `augment` as the name of a policy and as a table of its arguments."""
    is_both = "overwrite" in reason.lower() and re.search(r"^\s*(\[\s*augment\s*\]|augment\s*\.)", text, re.MULTILINE)
    return POLICY_IN_FILE if is_both else ""


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield every leaf key of a config model, dotted, in order."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def flags(model: type[BaseModel]) -> list[Flag]:
    """Return the flags of a model: one for every top-level key but tables, and for nested keys that name their flag."""
    all_flags = []
    for key, field in fields(model):
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        named = extra.get("flag")
        if named or not ("." in key or str(field.annotation).startswith("dict")):
            known: dict[str, Any] = {name: extra.get(name) for name in ("short", "metavar", "complete")}
            all_flags.append(
                Flag(
                    key=key,
                    flag=str(named or "--" + key.replace("_", "-")),
                    field=field,
                    panel=str(extra.get("panel", "Other")),
                    default=field.get_default(call_default_factory=True),
                    **known,
                )
            )
    return all_flags


def _holder(key: str, kinds: Mapping[str, Any]) -> str:
    """Return the known key that another lies in, such as `model.block` of `model.block.kernel`; "" without one."""
    return next((name for name in kinds if key.startswith(f"{name}.")), "")


def key_inside(key: str, model: type[BaseModel]) -> str:
    """Return what a key that lies in another one probably means, "" for other keys.

    An argument has no tables (`augment_args.args.share` is `augment_args.share`), and a plugin's name has arguments
    beside it (`model.block.kernel` is `model.block_args.kernel`).
    """
    kinds = {name: field.annotation for name, field in fields(model)}
    outer, name = _holder(key, kinds), key.rpartition(".")[2]
    tables = [table for table in (outer, f"{outer}_args") if get_origin(kinds.get(table)) is dict and name != "name"]
    return f"{tables[0]}.{name}" if tables else outer


def is_known(key: str, kinds: Mapping[str, Any]) -> bool:
    """Return whether a dotted key is one of a config, or directly in a table of arguments; `kinds` has the types."""
    table = _holder(key, kinds)
    return key in kinds or (get_origin(kinds.get(table)) is dict and key.count(".") == table.count(".") + 1)


def key_meant(key: str, model: type[BaseModel]) -> str | None:
    """Return the config key that an unknown key probably means, or None when none is close.

    The name of a flag comes first (`arch` is `model.arch`), then the name of a table (`optim` is `optim.name`), then
    the last part of a key (`nesterov` is `optim.nesterov`), then what is spelled most alike. In a table whose plugin
    has arguments, a name like no other is one of them (`schedule.power` is `schedule.args.power`).
    """
    known = [name for name, _ in fields(model)]
    names = _short_names(known, flags(model))
    bare = key.lstrip("-").replace("-", "_").lower()
    table, dot, last = bare.partition(".")
    exact = names.get(bare) or names.get(bare.rpartition(".")[2])
    if exact and dot and any(name.startswith(f"{table}.") for name in known) and "." in exact:
        exact = exact if exact.startswith(f"{table}.") else None  # `objective.gamma` is not `schedule.gamma`
    if exact or not dot:
        everything = names | {name: name for name in known}
        return exact or everything.get(nearest(bare, everything) or "")
    owner = names.get(table, "")
    if owner.endswith("args"):  # `block_args.reduction`
        return f"{owner}.{last}"
    if owner and "." not in owner:  # `data.name`: the key is a value, not a table
        return owner
    return _in_table(owner.partition(".")[0] or table, last, known) or owner or None


def _in_table(table: str, name: str, known: Sequence[str]) -> str | None:
    """Return the key of a table that `name` probably means: one that is spelled alike, or an argument of its plugin."""
    own = {key.removeprefix(f"{table}."): key for key in known if key.startswith(f"{table}.")}
    if alike := nearest(name, own):
        return own[alike]
    arguments = next((own[key] for key in ("args", "block_args") if key in own), "")
    return f"{arguments}.{name}" if arguments and name.isidentifier() else nearest(f"{table}.{name}", known)


def _short_names(known: list[str], shown: list[Flag]) -> dict[str, str]:
    """Return config keys by the names of flags, by their tables and by their last parts; the first one stays."""
    names: dict[str, str] = {}
    for flag in shown:
        names.setdefault(flag.flag.lstrip("-").replace("-", "_"), flag.key)
    for name in known:
        names.setdefault(name.partition(".")[0], name)
    for word, name in OTHER_WORDS.items():
        names.setdefault(word, name)
    for name in known:
        if not name.endswith((".name", ".args")):  # several tables have them
            names.setdefault(name.rpartition(".")[2], name)
    return names
