"""`runs list`, `runs show` and `runs verify`."""

from collections.abc import Mapping
from typing import Any

from resnetctl.cli.parser.command import Command, Group, Parsed
from resnetctl.cli.parser.common import Common
from resnetctl.cli.parser.option_models import RunsShowOptions
from resnetctl.cli.screen import streams, tables

COLUMNS = {
    "name": "name",
    "status": "status",
    "arch": "arch",
    "data": "data",
    "epochs": "epochs",
    "val_top1": "val acc",
    "created": "started",
}
# Left out in this order until the table is narrow enough. Automatic names hold data and arch, but no replaced block.
DROPPED = ("data", "arch", "started", "epochs")
DROPPED_WITH_BLOCKS = ("data", "started", "arch", "epochs")


def list_runs(parsed: Parsed[Common]) -> None:
    """Run `runs list`."""
    from resnetctl.system import settings
    from resnetctl.tasks.runs import listing

    folder = settings.load().runs_dir
    report = listing.list_runs(folder)
    if parsed.options.as_json:
        streams.report(report)
        return
    rows = report.runs
    if not rows:
        streams.say(streams.one_line(f"There is no run in {folder}. Start one: resnetctl train --data digits"))
    drop = DROPPED_WITH_BLOCKS if any(row.get("block") for row in rows) else DROPPED
    tables.table([*COLUMNS.values()], [[_shown(row, key) for key in COLUMNS] for row in rows], drop=drop)


def show(parsed: Parsed[RunsShowOptions]) -> None:
    """Run `runs show`."""
    from resnetctl import runs
    from resnetctl.system import settings
    from resnetctl.tasks.runs import listing

    run = runs.find(parsed.options.run, settings.load().runs_dir)
    if parsed.options.as_json:
        streams.report(listing.show(run))
        return
    facts, files = listing.facts(run), listing.files(run)
    rows = [(key, _shown(facts, key)) for key in facts if key not in ("epochs_planned", "block")]
    tables.pairs([("path", run.path), *((COLUMNS.get(key, key), text) for key, text in rows if text)])
    streams.result("")
    tables.pairs((name, tables.size(size)) for name, size in files.items())


def verify(parsed: Parsed[RunsShowOptions]) -> None:
    """Run `runs verify`."""
    from resnetctl import runs
    from resnetctl.cli.screen.loading import load_torch
    from resnetctl.system import settings

    machine = settings.load()
    run = runs.find(parsed.options.run, machine.runs_dir)
    load_torch()
    from resnetctl.tasks.runs import verify as task

    report = task.verify(run, machine)
    if parsed.options.as_json:
        streams.report(report)
    else:
        words = {True: "ok", False: "FAILED", None: "-"}
        rows = [[check.name, words[check.passed], check.detail] for check in report.checks]
        tables.table(["check", "result", "detail"], rows)
    for line in report.differences:
        streams.say(streams.printable(f"on this machine a resume would not be bit-identical: {line}"))
    report.require()


def _shown(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if key == "val_top1":
        return tables.percent(value)
    if key == "arch" and row.get("block"):
        return f"{value} + {row['block']}"
    if key == "created" and value is not None:
        return tables.moment(value)
    if key == "epochs" and row.get("status") != "finished" and row.get("epochs_planned"):
        return f"{value}/{row['epochs_planned']}"
    return "" if value is None else str(value)


COMMAND = Group(
    name="runs",
    summary="Training runs in ./runs, or in RESNETCTL_RUNS_DIR.",
    members={
        "list": Command(name="list", summary="List runs, oldest first.", run=list_runs),
        "show": Command(
            name="show",
            summary="Show one run: the newest by default.",
            run=show,
            options=RunsShowOptions,
            examples=(("resnetctl runs show last --json", "config, metrics and timings"),),
        ),
        "verify": Command(
            name="verify",
            summary="Check the files of a run against each other and this machine.",
            run=verify,
            options=RunsShowOptions,
            examples=(("resnetctl runs verify last", "exit 5 when a check fails"),),
        ),
    },
)
