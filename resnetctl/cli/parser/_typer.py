"""From `Command` and `Group` to a parser. The only module that touches typer's insides, which change in minors.

typer 0.29 has its own copy of click inside. Its help, its colours and its wording of errors are replaced; what
remains is the parsing, the nesting and the shell completion.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from typer._click.core import Context, Parameter
from typer._click.exceptions import ClickException, NoSuchOption, UsageError
from typer._coercion import TypeDescriptor, resolve_type_descriptor
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.exceptions import Abort, Exit
from typer.models import OptionInfo

from resnetctl import errors
from resnetctl.cli.parser import complete
from resnetctl.cli.parser.command import Command, Given, Group, is_argument, is_repeated, is_switch
from resnetctl.cli.parser.values import choices, coerce
from resnetctl.cli.screen import streams as out
from resnetctl.config.options import Flag, flags

PROGRAM = "resnetctl"
COMPLETION_VARIABLE = "_RESNETCTL_COMPLETE"
COMPLETION_FLAGS = ("--install-completion", "--show-completion")


def invoke(root: Group, argv: Sequence[str]) -> int:
    """Parse `argv`, run what it names and return the exit code.

    Raises:
        UsageError: the command line cannot be parsed; whatever the command raises.
    """
    parser = _Root(root, argv)
    if os.environ.get(COMPLETION_VARIABLE):
        from typer._completion_classes import completion_init

        completion_init()
        parser._main_shell_completion({}, PROGRAM)
    try:
        with parser.make_context(PROGRAM, list(argv)) as context:
            parser.invoke(context)
    except Exit as stop:
        return int(stop.exit_code)
    except ClickException as error:
        raise _translated(error) from None
    except Abort:
        raise KeyboardInterrupt from None
    return 0


class _Members(TyperGroup):
    """A group whose members are built when they are named."""

    def __init__(self, group: Group, params: list[Parameter]) -> None:
        names: dict[str, Any] = dict.fromkeys(group.members)
        super().__init__(
            name=group.name,
            commands=names,
            params=params,
            add_help_option=False,
            invoke_without_command=True,
            suggest_commands=False,
        )
        self.group = group

    def get_command(self, ctx: Context, cmd_name: str) -> Any:
        found = self.group.load(cmd_name)
        return None if found is None else _parser(found)

    def resolve_command(self, ctx: Context, args: list[str]) -> Any:
        if args[0] not in self.group.members and not ctx.resilient_parsing:
            raise errors.UsageError(
                f"no command '{ctx.command_path} {args[0]}'",
                hint=[errors.suggest(args[0], self.group.members), f"{ctx.command_path} --help"],
            )
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        if ctx.params.get("version") and not ctx.resilient_parsing:
            _show_version(as_json=bool(ctx.params.get("as_json")))
        if not ctx._protected_args and not ctx.resilient_parsing:
            out.result(_screen(self.group, ctx))
            raise Exit(0)
        return rest


class _Root(_Members):
    def __init__(self, group: Group, argv: Sequence[str]) -> None:
        params = [_parameter(flag, group) for flag in flags(group.options)]
        if any(word.startswith(COMPLETION_FLAGS) for word in argv):
            from typer.main import get_install_completion_arguments

            params += get_install_completion_arguments()
        super().__init__(group, params)


class _Value:
    """How a parameter gets its value: by its field, not by typer's own coercion."""

    flag: Flag

    def process_value(self, ctx: Context, value: Any) -> Any:
        if value in (None, ()):
            if self.flag.field.is_required() and not ctx.resilient_parsing:
                raise _missing(self.flag, ctx)
            return None
        if is_repeated(self.flag):
            value = list(value)
        value = value if isinstance(value, bool) else coerce(self.flag, value)
        action = _EAGER.get(self.flag.key)
        if action is not None and not ctx.resilient_parsing:
            action(ctx)
        return value


class _Option(_Value, TyperOption):
    def __init__(self, flag: Flag, *, two_sided: bool) -> None:
        self.flag = flag
        switch = is_switch(flag)
        off = f"{flag.flag}/--no-{flag.flag.removeprefix('--')}" if switch and two_sided else flag.flag
        super().__init__(
            param_decls=[word for word in (flag.short, off) if word],
            type_descriptor=_TEXT if not switch else _SWITCH,
            is_flag=switch,
            multiple=is_repeated(flag),
            is_eager=flag.key in _EAGER,
            help=flag.help,
            autocompletion=_completer(flag),
        )

    def _parse_decls(self, decls: Sequence[str], expose_value: bool) -> tuple[str, list[str], list[str]]:
        _, on, off = super()._parse_decls(decls, expose_value)
        return self.flag.key, on, off


class _Argument(_Value, TyperArgument):
    def __init__(self, flag: Flag) -> None:
        self.flag = flag
        super().__init__(
            param_decls=[flag.key],
            type_descriptor=_TEXT,
            nargs=-1 if is_repeated(flag) else 1,
            metavar=flag.metavar,
            autocompletion=_completer(flag),
        )


class _Leaf(TyperCommand):
    def __init__(self, command: Command) -> None:
        super().__init__(
            name=command.name,
            params=[_parameter(flag, command) for flag in command.all_flags()],
            callback=_callback(command),
            help=command.summary,
            add_help_option=False,
        )
        self.command = command

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except UsageError as error:  # some come without their context
            error.ctx = error.ctx or ctx
            raise


def _parser(item: Command | Group) -> TyperCommand | TyperGroup:
    if isinstance(item, Command):
        return _Leaf(item)
    return _Members(item, [_parameter(flag, item) for flag in flags(item.options)])


def _parameter(flag: Flag, item: Command | Group) -> Parameter:
    if is_argument(flag):
        return _Argument(flag)
    return _Option(flag, two_sided=isinstance(item, Command) and flag.key in {key.key for key in item.config_flags()})


def _callback(command: Command) -> Callable[..., None]:
    """What runs the command: it sorts what was given into options and config values."""
    names = {flag.key: flag.flag for flag in command.config_flags()}

    def run(**values: Any) -> None:
        given = {key: value for key, value in values.items() if value is not None}
        options = command.options.model_validate({key: given[key] for key in given if key not in names})
        with out.reserved():
            command.run(Given(options=options, values={key: given[key] for key in given if key in names}, names=names))

    return run


def _completer(flag: Flag) -> Callable[..., list[tuple[str, str] | str]] | None:
    """typer's callback for the shell, from a registry kind or a fixed set."""
    known, kind = choices(flag), flag.complete
    if not known and not kind:
        return None

    def candidates(ctx: Context, args: list[str], incomplete: str) -> list[tuple[str, str] | str]:
        return [*known] if known else [*complete.names(kind or "")]

    return candidates


def _screen(item: Command | Group, ctx: Context, *, full: bool = False) -> str:
    from resnetctl.cli.screen.help import screen

    return screen(item, _path(ctx), full=full)


def _show_help(ctx: Context, *, full: bool = False) -> None:
    parser = ctx.command
    out.result(_screen(parser.command if isinstance(parser, _Leaf) else parser.group, ctx, full=full))  # type: ignore[attr-defined]
    raise Exit(0)


def _show_version(*, as_json: bool) -> None:
    from resnetctl import __version__

    if as_json:
        out.document("version", {"version": __version__})
    else:
        out.result(f"{PROGRAM} {__version__}")
    raise Exit(0)


def _disable_plugins(ctx: Context) -> None:
    from resnetctl import registry

    registry.disable_plugins()


def _path(ctx: Context) -> str:
    """`resnetctl data add`: typer's own path would include arguments."""
    names: list[str] = []
    here: Context | None = ctx
    while here is not None:
        names.insert(0, str(here.info_name))
        here = here.parent
    return " ".join(names)


def _missing(flag: Flag, ctx: Context) -> errors.UsageError:
    name = str(flag.metavar) if is_argument(flag) else flag.flag
    return errors.UsageError(f"{_path(ctx)} needs {name}", hint=[*_example(ctx), f"{_path(ctx)} --help"])


def _example(ctx: Context | None) -> list[str]:
    """The command's first example, where that is one line."""
    examples = ctx.command.command.examples if ctx is not None and isinstance(ctx.command, _Leaf) else ()
    return [line for line, _ in examples[:1] if not line.endswith("\\")]


def _translated(error: ClickException) -> errors.UsageError:
    """One of typer's usage errors, as one of ours."""
    ctx: Context | None = getattr(error, "ctx", None)
    path = _path(ctx) if ctx is not None else PROGRAM
    hint = [f"{path} --help"]
    if isinstance(error, NoSuchOption):
        known = [word for param in ctx.command.params for word in param.opts] if ctx is not None else []
        close = errors.closest(error.option_name, known)
        return errors.UsageError(f"{path} has no option {error.option_name}", hint=[close, *hint] if close else hint)
    message = error.format_message()
    if message.startswith("Got unexpected extra argument"):
        hint = [*_example(ctx), *hint]
    return errors.UsageError(f"{path}: {message[:1].lower()}{message[1:].rstrip('.')}", hint=hint)


_TEXT: TypeDescriptor = resolve_type_descriptor(str, OptionInfo())
_SWITCH: TypeDescriptor = resolve_type_descriptor(bool, OptionInfo())
_EAGER: Mapping[str, Callable[[Context], None]] = {
    "help": _show_help,
    "help_all": lambda ctx: _show_help(ctx, full=True),
    "no_plugins": _disable_plugins,
}
