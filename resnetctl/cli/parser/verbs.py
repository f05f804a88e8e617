"""Typer's classes for our verbs: our help screens, our error messages, and one boundary for errors.

The functions that Typer calls come from `functions`; each carries the declaration that it was built from.
"""

import os
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn, cast

import typer
from typer.core import TyperCommand, TyperGroup

from resnetctl import errors, hints
from resnetctl.cli import boundary
from resnetctl.cli.parser.command import Command, Group, is_argument
from resnetctl.cli.parser.functions import path_of
from resnetctl.cli.parser.words import argument_meant, value_of
from resnetctl.config.options import flags
from resnetctl.system.plain_files import expanded, is_path
from resnetctl.wording import enumerated

if TYPE_CHECKING:
    _Base = TyperCommand
else:
    _Base = object

UsageError: Any = typer.BadParameter.__bases__[0]  # Typer raises it for a command line that it cannot parse


class _Verb(_Base):
    """The common part of commands and groups. Only the outermost of our commands reports an error."""

    @property
    def declared(self) -> Command | Group:
        """The declaration that the command was built from."""
        return cast("Command | Group", self.callback.declared)  # type: ignore[union-attr]

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> Any:
        """Run a command line as Typer does. In standalone mode the boundary turns errors into lines and exit codes."""
        words = list(sys.argv[1:] if args is None else args)
        name = prog_name or self.declared.name
        if os.environ.get(f"_{name}_COMPLETE".replace("-", "_").upper()):
            return super().main(words, name, **extra)
        if extra.get("standalone_mode") is False:
            try:
                with boundary.raising():
                    return self._run(words, name)
            except typer.Exit as stop:
                return stop.exit_code
        sys.exit(boundary.exit_code(lambda: self._run(words, name), words))

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse `args`. Raises our `UsageError` instead of Typer's."""

        words = tuple(args)  # Typer's parser takes words away

        def parse() -> Any:
            try:
                return super(_Verb, self).make_context(info_name, args, parent, **extra)
            except UsageError as error:
                raise self._translated(error, path_of(parent, info_name), words=words) from None

        return boundary.within(parse)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was parsed."""
        return boundary.within(lambda: super(_Verb, self).invoke(ctx))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write our help screen instead of Typer's."""
        from resnetctl.cli.screen.help import screen

        formatter.write(screen(self.declared, path_of(ctx)) + "\n")

    def _run(self, words: list[str], name: str) -> Any:
        with self.make_context(name, words) as context:
            return self.invoke(context)

    def _translated(self, error: Any, path: str, *, words: Sequence[str]) -> errors.UsageError:
        """Return one of Typer's usage errors as one of ours."""
        hint = [f"{path} --help"]
        if hasattr(error, "possibilities"):  # an unknown option
            return errors.UsageError(
                f"{path} has no option {error.option_name}", hint=[*self._meant(error.option_name, words), *hint]
            )
        if isinstance(error, typer.BadParameter) and error.param is not None:  # a value is missing
            needed = map(self._label, self._missing(error.param.name, words))
            return errors.UsageError(f"{path} needs {enumerated(needed)}", hint=[*self._example(), *hint])
        message = error.format_message()
        if message.startswith("Got unexpected extra argument"):
            hint = [*self._example(), *hint]
        elif hasattr(error, "option_name"):  # its value is missing, or it takes none
            hint = [*self._example(f"{error.option_name} "), *hint]
        return errors.UsageError(f"{path}: {message[:1].lower()}{message[1:].rstrip('.')}", hint=hint)

    def _meant(self, option: str, words: Sequence[str]) -> list[hints.Hint]:
        """Return what an unknown option may mean: another verb's, an argument of a plugin, or a close one."""
        known = [word for param in self.params for word in param.opts]
        if line := self._elsewhere(option, words):
            return [line]
        close = hints.closest(option, known)
        if "--set" in known:
            forms = [param.opts for param in self.params]
            if setting := argument_meant(option, words, forms=forms, core=not close):
                return [setting]
        return [close] if close else []

    def _missing(self, first: str, words: Sequence[str]) -> list[str]:
        """Return the names of the first parameter without a value, and of all required options that are not there."""
        given = {word.partition("=")[0] for word in words} | {word[:2] for word in words if word[:2] != "--"}
        options = [param for param in self.params if param.required and param.param_type_name == "option"]
        return [first, *(item.name for item in options if item.name != first and given.isdisjoint(item.opts))]

    def _label(self, name: str) -> str:
        from resnetctl.cli.parser.typer_options import name_of

        flags = self.declared.all_flags() if isinstance(self.declared, Command) else []
        return next(str(flag.metavar) if is_argument(flag) else flag.flag for flag in flags if name_of(flag) == name)

    def _example(self, part: str = "") -> list[str]:
        """Return a list of the first example with this part, empty if the example is longer than a line."""
        lines = [line for line, _ in self.declared.examples if part in line]
        return [line for line in lines[:1] if not line.endswith("\\")]

    def _elsewhere(self, option: str, words: Sequence[str]) -> str:
        """Return the command line of the verb that has `option`, with the values that are given here; "" without one.

        The last word of a declared line is the value of `option` where none is given; PATH is that of `--data`.
        """
        places = getattr(self.declared, "elsewhere", {})
        declared = str(places.get(option, "") or ("*" in places and _of_config(option, places["*"])) or "")
        command, _, usual = declared.rpartition(" ")
        if not command:
            return ""
        data = value_of(("-d", "--data"), words)
        path = data if data and (is_path(data) or expanded(data).exists()) else "PATH"
        value = value_of((option,), words) or usual
        return f"{command.replace('PATH', shlex.quote(path))} {shlex.quote(value)}"


def _of_config(option: str, form: str) -> str:
    """Return `form` with the config key of an option of `train` in place of KEY; "" for other options."""
    from resnetctl.config.schema import TrainConfig

    key = next((flag.key for flag in flags(TrainConfig) if option in (flag.flag, flag.short)), "")
    return form.replace("KEY", key) if key else ""


class VerbCommand(_Verb, TyperCommand):
    """A command."""


class VerbGroup(_Verb, TyperGroup):  # type: ignore[misc]
    """A group of commands."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the first word names. Raises `UsageError` with a close name."""
        default = getattr(self.declared, "default", "")
        if default and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            args = [default, *args]
        if self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing:
            self._unknown(ctx, *args)
        return super().resolve_command(ctx, args)

    def _unknown(self, ctx: Any, word: str, *rest: str) -> NoReturn:
        from resnetctl import registry

        path = path_of(ctx)
        if word.startswith("-"):
            raise errors.UsageError(f"{path} has no option {word}", hint=f"{path} --help")
        known, flag = self.list_commands(ctx), "--" + word.replace("_", "-")
        members = {name: self.get_command(ctx, name) for name in known}
        params = {name: getattr(member, "params", []) for name, member in members.items()}
        owners = [name for name, items in params.items() if any(flag in item.opts for item in items)]
        hint = f"{path} {owners[0]} {flag}" if len(owners) == 1 else hints.suggest(word, known)
        groups = [name for name, member in members.items() if word in getattr(member, "commands", {})]
        nested = [f"{path} {name} {shlex.join([word, *rest])}" for name in groups]
        registry.require_installed(word, "command")
        raise errors.UsageError(f"no command '{path} {word}'", hint=[*(nested or [hint]), f"{path} --help"])
