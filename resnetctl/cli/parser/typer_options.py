"""Turn declared options into the parameters of a Typer function: `Annotated[..., typer.Option(...)]`.

Every option is a field of a pydantic model. Typer splits the command line into words; the field validates each value,
so a wrong value gets the same error from a flag, from `--set` and from a file. Only Typer's public names are used.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any

import typer

from resnetctl.cli.parser import complete
from resnetctl.cli.parser.command import is_argument, is_repeated, is_switch
from resnetctl.cli.parser.values import choices, coerce
from resnetctl.config.options import Flag

Action = Callable[[typer.Context], None]
CONTEXT = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)


def signature(
    flags: Iterable[Flag], *, two_sided: Iterable[str] = (), eager: Mapping[str, Action] | None = None
) -> inspect.Signature:
    """Return the signature of a Typer function that takes Typer's context and `flags`.

    Args:
        two_sided: keys of switches that have a `--no-` side.
        eager: the actions of switches, by key. An action runs before the other options are parsed.
    """
    sides = frozenset(two_sided)
    actions = eager or {}
    parameters = [_parameter(flag, two_sided=flag.key in sides, action=actions.get(flag.key)) for flag in flags]
    return inspect.Signature([CONTEXT, *parameters])


def name_of(flag: Flag) -> str:
    """Return the name of the flag's parameter: the key, with two underscores for each dot."""
    return flag.key.replace(".", "__")


def _parameter(flag: Flag, *, two_sided: bool, action: Action | None) -> inspect.Parameter:
    info = _argument(flag) if is_argument(flag) else _option(flag, two_sided=two_sided, action=action)
    kind: Any = list[str] if is_repeated(flag) else bool if is_switch(flag) else str
    required = flag.field.is_required()
    default = inspect.Parameter.empty if required else None
    annotated: Any = Annotated  # keeps mypy from reading the values below as types
    annotation = annotated[kind if required else kind | None, info]
    return inspect.Parameter(name_of(flag), inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _argument(flag: Flag) -> Any:
    return typer.Argument(
        metavar=flag.metavar,
        help=flag.help,
        callback=_validated(flag),
        autocompletion=_completer(flag),
        show_default=False,
    )


def _option(flag: Flag, *, two_sided: bool, action: Action | None) -> Any:
    off = f"/--no-{flag.flag.removeprefix('--')}" if is_switch(flag) and two_sided else ""
    return typer.Option(
        *_words(flag, off),
        metavar=flag.metavar,
        help=flag.help,
        callback=_validated(flag, action),
        is_eager=action is not None,
        autocompletion=_completer(flag),
        show_default=False,
        rich_help_panel=flag.panel,
    )


def _words(flag: Flag, off: str) -> Iterator[str]:
    yield flag.flag + off
    if flag.short:
        yield flag.short


def _validated(flag: Flag, action: Action | None = None) -> Callable[..., Any]:
    """Return Typer's callback of a parameter: the field's value, or an error that names the flag."""

    def value_of(ctx: typer.Context, value: Any) -> Any:
        if value in (None, ()):
            return None
        if not isinstance(value, bool):
            value = coerce(flag, value)
        if action is not None and value and not ctx.resilient_parsing:
            action(ctx)
        return value

    return value_of


def _completer(flag: Flag) -> Callable[..., list[str]] | None:
    """Return Typer's callback for shell completion: the names of a registry kind, or a fixed set."""
    known, kind = choices(flag), flag.complete
    if not known and not kind:
        return None

    def candidates(incomplete: str) -> list[str]:
        names = known or complete.names(kind or "")
        return [name for name in names if name.startswith(incomplete)]

    return candidates
