"""Options that every command has. They have their own module because the first help screen needs no others."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from resnetctl.config.options import USED, option


class Options(BaseModel):
    """Base of option models. Pydantic builds a validator on first use, not at import."""

    model_config = ConfigDict(defer_build=True)


class HelpOptions(Options):
    """Options of every command and group."""

    help: bool = option(False, "Show the most used options and examples", short="-h", panel="Help")
    help_all: bool = option(False, "Show every option", panel="Help")


class Global(Options):
    """Options that go before or after the verb."""

    no_plugins: bool = option(False, "Use the core only, no plugins", panel="Global")
    debug: bool = option(False, "Print the traceback of an error", panel="Global")


class RootOptions(Global, HelpOptions):
    """Options of `resnetctl` itself."""

    version: bool = option(False, "Print the version", short="-V", panel="Global")
    as_json: bool = option(False, "With --version: print one JSON document", flag="--json", panel="Global")


class Common(Global):
    """Options of every command."""

    as_json: bool = option(False, "Print one JSON document on stdout", flag="--json", panel=USED)


def argument(help: str, *, metavar: str, default: Any = ..., complete: str | None = None) -> Any:
    """Return a field for a positional argument, required unless it has a default."""
    extra: dict[str, Any] = {"argument": True, "metavar": metavar, "panel": "Arguments", "complete": complete}
    return Field(default, description=help, json_schema_extra=extra)
