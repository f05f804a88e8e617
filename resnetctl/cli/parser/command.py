"""Declarations of commands: plain data. The Typer app, the help screens and the docs are built from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from resnetctl.cli.parser.common import Common, HelpOptions
from resnetctl.config.options import Flag, flags

OF_DATA_ADD = {  # options that people look for where they train on a folder
    "--on-bad-image": "resnetctl data add PATH --on-bad-image skip",
    "--max-pixels": "resnetctl data add PATH --max-pixels N",
}
Options = TypeVar("Options", bound=BaseModel, covariant=True)


@dataclass(frozen=True, kw_only=True)
class Parsed(Generic[Options]):
    """A parsed command line.

    Attributes:
        options: the command's own options.
        values: the config keys on the command line, with their values.
        names: the flag of every config key.
    """

    options: Options
    values: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Command:
    """One verb. `examples` are (command line, note); `keys` are the config keys that have a flag here (empty: all).

    `recipe` is the packaged recipe whose values are the defaults of these flags. `elsewhere` are flags that people look
    for here, with the command line of another verb that has them and their usual value; `*` is for those of `train`.
    """

    name: str
    summary: str
    run: Callable[[Parsed[Any]], None]
    options: type[BaseModel] = Common
    config: type[BaseModel] | None = None
    keys: tuple[str, ...] = ()
    recipe: str = ""
    examples: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    def config_flags(self) -> list[Flag]:
        """Return the flags of config keys, with the defaults that they have in this command."""
        if self.config is None:
            return []
        from resnetctl.config.defaults import FINETUNE_KEYS, TRAIN_KEYS
        from resnetctl.config.layers import from_recipe

        own = from_recipe(self.recipe).values if self.recipe else {}
        decided = FINETUNE_KEYS if self.recipe == "finetune" else TRAIN_KEYS
        return [
            replace(flag, default=own.get(flag.key, flag.default), follows=decided.get(flag.key, ""))
            for flag in flags(self.config)
            if not self.keys or flag.key in self.keys
        ]

    def all_flags(self) -> list[Flag]:
        """Return arguments and flags, in the order of the help screens."""
        return [*self.config_flags(), *flags(self.options), *flags(HelpOptions)]

    def arguments(self) -> list[Flag]:
        """Return the positional arguments."""
        return [flag for flag in flags(self.options) if is_argument(flag)]


@dataclass(frozen=True)
class Lazy:
    """A member of a group. Its module, which defines `COMMAND`, is imported on first use."""

    module: str
    summary: str
    panel: str = ""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Commands under one name. `kind` is the kind of plugin that adds members."""

    name: str
    summary: str
    members: Mapping[str, Lazy | Command]
    options: type[BaseModel] = HelpOptions
    examples: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    kind: str = ""
    default: str = ""  # the member that takes a first word which names none

    def load(self, name: str) -> Command | Group | None:
        """Return the member `name`, None when there is none."""
        member = self.members.get(name)
        if isinstance(member, Lazy):
            from importlib import import_module

            loaded: Command | Group = import_module(member.module).COMMAND
            return loaded
        return member


def is_argument(flag: Flag) -> bool:
    """Return whether the flag is a positional argument."""
    extra = flag.field.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("argument"))


def is_switch(flag: Flag) -> bool:
    """Return whether the flag takes no value."""
    return flag.field.annotation is bool


def is_repeated(flag: Flag) -> bool:
    """Return whether the flag can be given several times."""
    return str(flag.field.annotation).startswith(("list", "tuple"))
