"""Verbs that plugins bring: entry points of the group `resnetctl.commands`, each a `typer.Typer` or a function.

Listing the verbs reads metadata only. Using a verb imports its plugin; an exception in it becomes a `PluginError`.
"""

import contextlib
from typing import Any

import typer
from typer.core import TyperCommand
from typer.main import get_command

from resnetctl import errors, registry
from resnetctl.cli import boundary
from resnetctl.cli.parser.functions import path_of
from resnetctl.cli.parser.verbs import UsageError, VerbGroup
from resnetctl.cli.screen import streams

# Exceptions by which a command may end itself, as in a Typer app of its own.
ENDINGS = (typer.Exit, typer.Abort, SystemExit, BrokenPipeError, UsageError)
COMPLETION = ("install_completion", "show_completion")  # options for a program of its own, not for a command


class PluginGroup(VerbGroup):
    """The verbs of the core, then those of plugins."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all verbs."""
        return [*super().list_commands(ctx), *registry.names("command")]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the verb `cmd_name`, None when there is none. Imports no plugin."""
        command = super().get_command(ctx, cmd_name)
        if command is None and cmd_name in registry.names("command"):
            return PluginCommand(cmd_name)
        return command


class PluginCommand(TyperCommand):
    """The verb of a plugin. The plugin's own command parses the words behind it."""

    def __init__(self, name: str) -> None:
        settings = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}
        owner = " ".join(*registry.distribution_of("command", name).items())
        super().__init__(name, context_settings=settings, help=f"A command of {owner}", add_help_option=False)

    def invoke(self, ctx: Any) -> Any:
        """Import the plugin and run its command. Raises `PluginError` for any exception in it."""
        return boundary.within(lambda: self._run(path_of(ctx), list(ctx.args)))

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Complete as the plugin's own command does. Imports the plugin; one that is broken completes nothing."""
        with contextlib.suppress(errors.PluginError), registry.guarded("command", str(self.name)):
            command: Any = _command(str(self.name))
            inner: Any = command.make_context(path_of(ctx), [], parent=ctx.parent, resilient_parsing=True)
            for word in ctx.args:  # the commands of a group that are already typed
                step = command.get_command(inner, word) if hasattr(command, "get_command") else None
                if step is None:
                    break
                command, inner = step, step.make_context(word, [], parent=inner, resilient_parsing=True)
            return command.shell_complete(inner, incomplete)
        return []

    def _run(self, path: str, words: list[str]) -> None:
        with registry.guarded("command", str(self.name)):
            ending: Any = _ending(str(self.name), path, words)
        if isinstance(ending, UsageError):
            place = ending.ctx.command_path if ending.ctx is not None else path
            raise errors.UsageError(f"{place}: {ending.format_message()}", hint=f"{place} --help")
        if isinstance(ending, typer.Abort):
            streams.say("aborted")
            raise typer.Exit(1)
        if ending is not None:
            raise ending


def _command(name: str) -> Any:
    """Return the plugin's own command, without the options that install completion."""
    target: Any = registry.get("command", name)
    app = target if isinstance(target, typer.Typer) else typer.Typer()
    if app is not target:
        app.command(name)(target)
    command: Any = get_command(app)
    command.params = [item for item in command.params if item.name not in COMPLETION]
    return command


def _ending(name: str, path: str, words: list[str]) -> BaseException | None:
    """Run the command; return the exception by which it ended itself, None when it returned."""
    command = _command(name)
    try:
        with command.make_context(path, words, help_option_names=["-h", "--help"]) as context:
            command.invoke(context)
    except ENDINGS as ending:
        return ending
    return None
