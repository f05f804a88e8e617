"""`plugins list` and `plugins show`."""

from typing import Any

from resnetctl.cli import out, render
from resnetctl.cli.command import Command, Given, Group
from resnetctl.cli.options import PluginsListOptions, PluginsShowOptions


def list_plugins(given: Given[PluginsListOptions]) -> None:
    """`plugins list`"""
    from resnetctl.tasks import plugins

    rows = plugins.listing(given.options.kind, check=given.options.check)
    if given.options.as_json:
        out.document("plugins.list", {"plugins": rows})
    else:
        columns = ["kind", "name", "distribution", "version", "status"]
        render.table(columns, [[row[column] for column in columns] for row in rows])


def show(given: Given[PluginsShowOptions]) -> None:
    """`plugins show`"""
    from resnetctl.cli.loading import torch_note
    from resnetctl.tasks import plugins

    with torch_note():
        facts = plugins.describe(given.options.name, given.options.kind)
    if given.options.as_json:
        out.document("plugins.show", facts)
    else:
        render.pairs((key.replace("_", " "), _text(value)) for key, value in facts.items() if key != "parameters")


def _text(value: Any) -> str | None:
    """One line of a fact; nothing for what is empty."""
    if isinstance(value, dict):
        return ", ".join(f"{key}={inner}" for key, inner in value.items()) or None
    if isinstance(value, list | tuple):
        return ", ".join(str(inner) for inner in value) or None
    if isinstance(value, int) and not isinstance(value, bool):
        return render.count(value)
    return None if value in (None, "") else str(value)


COMMAND = Group(
    name="plugins",
    summary="Networks, blocks, augmentation policies and datasets: the core's and yours.",
    members={
        "list": Command(
            name="list",
            summary="List every name that can be used. No plugin is imported.",
            run=list_plugins,
            options=PluginsListOptions,
            examples=(
                ("resnetctl plugins list --kind arch", "networks only"),
                ("resnetctl plugins list --check", "import each one, report the broken"),
            ),
        ),
        "show": Command(
            name="show",
            summary="Show one of them: parameters, source, paper.",
            run=show,
            options=PluginsShowOptions,
            examples=(("resnetctl plugins show resnet56", "depths, widths, parameter count"),),
        ),
    },
)
