"""Declarations of commands: plain data, from which the Typer app, the help screens and the docs are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from resnetctl.cli.parser.common import Common, HelpOptions
from resnetctl.config.options import Flag, flags

Options = TypeVar("Options", bound=BaseModel, covariant=True)


@dataclass(frozen=True, kw_only=True)
class Given(Generic[Options]):
    """What a command got: its own options, and the config keys that were given with their values.

    `names` maps every config key to its flag.
    """

    options: Options
    values: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Command:
    """One verb. `examples` are (command line, note); `keys` are the config keys that have a flag here (empty: all)."""

    name: str
    summary: str
    run: Callable[[Given[Any]], None]
    options: type[BaseModel] = Common
    config: type[BaseModel] | None = None
    keys: tuple[str, ...] = ()
    examples: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def config_flags(self) -> list[Flag]:
        """Return the flags of config keys."""
        found = flags(self.config) if self.config is not None else []
        return [flag for flag in found if not self.keys or flag.key in self.keys]

    def all_flags(self) -> list[Flag]:
        """Return arguments and flags, in the order of the help screens."""
        return [*self.config_flags(), *flags(self.options), *flags(HelpOptions)]

    def arguments(self) -> list[Flag]:
        """Return the positional arguments."""
        return [flag for flag in flags(self.options) if is_argument(flag)]


@dataclass(frozen=True)
class Lazy:
    """A member whose module, which defines `COMMAND`, is imported when it is used."""

    module: str
    summary: str
    panel: str = ""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Commands under one name."""

    name: str
    summary: str
    members: Mapping[str, Lazy | Command]
    options: type[BaseModel] = HelpOptions
    examples: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def load(self, name: str) -> Command | Group | None:
        """Return the member `name`, None when there is none."""
        member = self.members.get(name)
        if isinstance(member, Lazy):
            from importlib import import_module

            loaded: Command | Group = import_module(member.module).COMMAND
            return loaded
        return member


def is_argument(flag: Flag) -> bool:
    """Tell whether the flag is a positional argument."""
    extra = flag.field.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("argument"))


def is_switch(flag: Flag) -> bool:
    """Tell whether the flag takes no value."""
    return flag.field.annotation is bool


def is_repeated(flag: Flag) -> bool:
    """Tell whether the flag can be given several times."""
    return str(flag.field.annotation).startswith(("list", "tuple"))
