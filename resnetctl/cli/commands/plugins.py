"""`plugins list`, `show`, `check` and `new`."""

from typing import Any

from resnetctl.cli.parser.command import Command, Group, Parsed
from resnetctl.cli.parser.store_options import (
    PluginsCheckOptions,
    PluginsListOptions,
    PluginsNewOptions,
    PluginsShowOptions,
)
from resnetctl.cli.screen import streams, tables
from resnetctl.errors import CheckFailed
from resnetctl.wording import counted


def list_plugins(parsed: Parsed[PluginsListOptions]) -> None:
    """Run `plugins list`."""
    from resnetctl import registry
    from resnetctl.tasks.plugins import listing as plugins
    from resnetctl.tasks.plugins.reports import ListReport

    for name in registry.unknown_plugins():
        streams.say(streams.notice(f"RESNETCTL_PLUGINS names '{name}', which is not an installed plugin distribution"))
    rows = plugins.listing(parsed.options.kind, check=parsed.options.check)
    if parsed.options.as_json:
        streams.report(ListReport(plugins=tuple(rows)))
        return
    columns = ["kind", "name", "distribution", "version", "status"]
    tables.table(columns, [[row[column] for column in columns] for row in rows])
    for row in rows:
        if row["reason"]:
            name = f"{row['kind']} {row['name']} of {row['distribution']} {row['version']}"
            streams.say(streams.printable(f"{name} is {row['status']}: {row['reason']}"))
    kind = parsed.options.kind
    for problem in (*registry.not_installed(kind=kind), *registry.other_versions(), *registry.unknown_groups()):
        streams.say(streams.notice(str(problem)))


def show(parsed: Parsed[PluginsShowOptions]) -> None:
    """Run `plugins show`."""
    from resnetctl.cli.screen.loading import torch_note
    from resnetctl.tasks.plugins import listing as plugins
    from resnetctl.tasks.plugins.reports import ShowReport

    with torch_note():
        facts = plugins.describe(parsed.options.name, parsed.options.kind)
    if parsed.options.as_json:
        streams.report(ShowReport(facts=facts))
    else:
        tables.pairs((key.replace("_", " "), _text(value)) for key, value in facts.items() if key != "parameters")


def check(parsed: Parsed[PluginsCheckOptions]) -> None:
    """Run `plugins check`."""
    from resnetctl import registry
    from resnetctl.cli.screen.loading import check_folder
    from resnetctl.cli.screen.progress import watch
    from resnetctl.tasks.plugins.reports import CheckReport
    from resnetctl.testing import kit
    from resnetctl.testing.findings import notes

    entries = kit.select(parsed.options.target)
    name = kit.name_of(parsed.options.target)
    for problem in (
        *registry.not_installed(name), *registry.other_versions(name), *registry.unknown_groups(name)
    ):  # fmt: skip
        streams.say(streams.notice(str(problem)))
    check_folder()
    findings = watch(kit.check_entries(entries))
    failed = [finding for finding in findings if not finding.ok]
    if parsed.options.as_json:
        rows = tuple({**vars(finding), "ok": finding.ok} for finding in findings)
        streams.report(CheckReport(entries=len(entries), failed=len(failed), findings=rows))
    else:
        columns = ["plugin", "rules", "skipped", "failed"]
        tables.table(columns, kit.summary(findings))
        for note in notes(findings):
            streams.say(streams.printable(note))
    if failed:
        raise CheckFailed(
            f"{len(failed)} of {counted(len(findings), 'rule')} failed", problems=[str(finding) for finding in failed]
        )


def new(parsed: Parsed[PluginsNewOptions]) -> None:
    """Run `plugins new`."""
    from resnetctl.tasks.plugins import new as scaffold

    plugin = scaffold.create(parsed.options.name, parsed.options.kind, parent=parsed.options.out)
    if parsed.options.as_json:
        streams.report(plugin)
        return
    streams.result(str(plugin.folder))
    streams.say(f"next: pip install -e {plugin.folder} && resnetctl plugins check {plugin.distribution}")


def _text(value: Any) -> str | None:
    """Return the value as one line, None when it is empty."""
    if isinstance(value, dict):
        return ", ".join(f"{key}={inner}" for key, inner in value.items()) or None
    if isinstance(value, list | tuple):
        return ", ".join(str(inner) for inner in value) or None
    if isinstance(value, int) and not isinstance(value, bool):
        return tables.count(value)
    return None if value in (None, "") else str(value)


COMMAND = Group(
    name="plugins",
    summary="Networks, blocks, policies, datasets and commands: the core's and yours.",
    members={
        "list": Command(
            name="list",
            summary="List every name that can be used. No plugin is imported.",
            run=list_plugins,
            options=PluginsListOptions,
            examples=(
                ("resnetctl plugins list --kind arch", "networks only"),
                ("resnetctl plugins list --check", "import each plugin, report broken ones"),
            ),
        ),
        "show": Command(
            name="show",
            summary="Show one plugin: parameters, source, paper.",
            run=show,
            options=PluginsShowOptions,
            examples=(("resnetctl plugins show resnet56", "depths, widths, parameter count"),),
        ),
        "check": Command(
            name="check",
            summary="Check plugins against every rule: shapes, gradients, export and more.",
            run=check,
            options=PluginsCheckOptions,
            examples=(
                ("resnetctl plugins check my-block", "all that a distribution registers"),
                ("resnetctl plugins check se_basic", "one block; exit 5 when a rule does not hold"),
            ),
        ),
        "new": Command(
            name="new",
            summary="Create a new plugin: a distribution whose tests pass.",
            run=new,
            options=PluginsNewOptions,
            examples=(("resnetctl plugins new my-block --kind block", "writes ./my-block/"),),
        ),
    },
)
