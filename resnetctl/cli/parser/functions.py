"""Turn a declaration into the function that Typer calls: its signature has the options, its body calls the verb."""

from collections.abc import Callable
from typing import Any

import typer

from resnetctl.cli.parser.command import Command, Group, Parsed
from resnetctl.cli.parser.typer_options import Action, name_of, signature
from resnetctl.cli.screen import streams
from resnetctl.config.options import flags

PROGRAM = "resnetctl"


def command_function(command: Command) -> Callable[..., None]:
    """Return the function of a command. It divides the values of a command line into options and config values."""
    names = {flag.key: flag.flag for flag in command.config_flags()}
    declared = command.all_flags()

    def function(ctx: typer.Context, **values: Any) -> None:
        present = {flag.key: values[name_of(flag)] for flag in declared if values.get(name_of(flag)) is not None}
        options = command.options.model_validate({key: present[key] for key in present if key not in names})
        config_values = {key: present[key] for key in present if key in names}
        with streams.reserved():
            command.run(Parsed(options=options, values=config_values, names=names))

    function.__signature__ = signature(declared, two_sided=names, eager=EAGER)  # type: ignore[attr-defined]
    return _named(function, command)


def group_function(group: Group) -> Callable[..., None]:
    """Return the function of a group. Typer calls it before that of a command; without one it shows the help screen."""

    def function(ctx: typer.Context, **values: Any) -> None:
        if values.get("version"):
            show_version(as_json=bool(values.get("as_json")))
        if ctx.invoked_subcommand is None:
            show_help(ctx)

    function.__signature__ = signature(flags(group.options), eager=EAGER)  # type: ignore[attr-defined]
    return _named(function, group)


def path_of(ctx: Any, *names: str | None) -> str:
    """Return `resnetctl data add`, the words up to `ctx`, then `names`. Typer's own path would include arguments."""
    words = [str(name) for name in names]
    while ctx is not None:
        words.insert(0, str(ctx.info_name))
        ctx = ctx.parent
    return " ".join(words)


def show_help(ctx: typer.Context, *, full: bool = False) -> None:
    """Print the help screen of the command, then end the command."""
    from resnetctl.cli.screen.help import screen

    streams.result(screen(ctx.command.declared, path_of(ctx), full=full))  # type: ignore[attr-defined]
    raise typer.Exit(0)


def show_version(*, as_json: bool) -> None:
    """Print the version and end the command."""
    from resnetctl import __version__

    if as_json:
        streams.document({"schema": "resnetctl.version/1", "version": __version__})
    else:
        streams.result(f"{PROGRAM} {__version__}")
    raise typer.Exit(0)


def _named(function: Callable[..., None], item: Command | Group) -> Callable[..., None]:
    function.__name__, function.__doc__ = item.name, item.summary
    function.declared = item  # type: ignore[attr-defined]
    return function


def _show_all(ctx: typer.Context) -> None:
    show_help(ctx, full=True)


def _disable_plugins(ctx: typer.Context) -> None:
    from resnetctl import registry

    registry.disable_plugins()


EAGER: dict[str, Action] = {"help": show_help, "help_all": _show_all, "no_plugins": _disable_plugins}
