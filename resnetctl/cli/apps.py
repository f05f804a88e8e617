"""Typer apps from declarations: that of all verbs, and that of the one verb which a command line names."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import typer

from resnetctl.cli.parser.command import Command, Group, Lazy
from resnetctl.cli.parser.functions import command_function, group_function
from resnetctl.cli.parser.plugins import PluginGroup
from resnetctl.cli.parser.verbs import VerbCommand, VerbGroup

OURS: dict[str, Any] = {"add_help_option": False}  # --help and --help-all are options like the others


def group_app(group: Group, *, completion: bool = False) -> typer.Typer:
    """Return the Typer app of a group: a function for each command, a nested app for each group."""
    app = typer.Typer(
        name=group.name,
        cls=PluginGroup if group.kind else VerbGroup,
        help=group.summary,
        callback=group_function(group),
        invoke_without_command=True,
        add_completion=completion,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        **OURS,
    )
    for name, member in group.members.items():
        item = group.load(name)
        panel = member.panel if isinstance(member, Lazy) else None
        if isinstance(item, Command):
            app.command(name, cls=VerbCommand, help=item.summary, rich_help_panel=panel, **OURS)(command_function(item))
        elif item is not None:
            app.add_typer(group_app(item), name=name, rich_help_panel=panel)
    return app


def app_for(group: Group, words: Sequence[str]) -> typer.Typer:
    """Return an app that answers these words as that of the whole group would: building all verbs takes longer."""
    first = next(iter(words), "")
    if first not in group.members:
        return group_app(group, completion=True)
    return group_app(replace(group, members={first: group.members[first]}))
