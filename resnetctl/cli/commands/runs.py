"""`runs list`, `show`, `plot`, `compare`, `diff`, `export`, `remove` and `verify`."""

import sys
from typing import TYPE_CHECKING

from resnetctl.cli.parser.command import Command, Group, Parsed
from resnetctl.cli.parser.store_options import (
    RunsCompareOptions,
    RunsDiffOptions,
    RunsExportOptions,
    RunsListOptions,
    RunsPlotOptions,
    RunsRemoveOptions,
    RunsShowOptions,
)
from resnetctl.cli.screen import streams, tables
from resnetctl.cli.screen.ask import confirm
from resnetctl.cli.screen.run_cells import (
    COLUMNS,
    RESULTS,
    marks_of_test,
    other_images,
    parted,
    result,
    setting,
    short,
    shown,
    toml,
)
from resnetctl.hints import Call, Setting, in_shell
from resnetctl.wording import counted

if TYPE_CHECKING:
    from resnetctl.tasks.runs.listing import ListReport

OTHER_VAL = "The runs measured val on different images, so their val accuracies do not compare."
OTHER_TEST = "The runs measured test on different images, so their test accuracies do not compare."
SAME_TEST = "Measure each on the same test: resnetctl eval RUN --data NAME"
SHOWN_ELSEWHERE = ("epochs_planned", "epochs_trained", "block")  # in the cells of epochs and arch
SIDE_BY_SIDE = 5  # runs; of more of them, each has a row
# Left out in this order until the table is narrow enough. Automatic names hold data and arch, but no replaced block.
DROPPED = ("data", "arch", "started", "recipe", "seed", "epochs")
DROPPED_WITH_BLOCKS = ("data", "started", "recipe", "seed", "arch", "epochs")


def list_runs(parsed: Parsed[RunsListOptions]) -> None:
    """Run `runs list`."""
    rows = (report := _listed(parsed.options)).runs
    if parsed.options.as_json:
        streams.report(report)
        return
    if not rows:
        _say_why_none(parsed.options)
        if streams.is_terminal(sys.stdout):
            return  # in a pipe, the header stays for programs that read the table
    drop = DROPPED_WITH_BLOCKS if any(row.get("block") for row in rows) else DROPPED
    marks = marks_of_test(rows)
    cells = [[shown(row, key, test=mark) for key in COLUMNS] for row, mark in zip(rows, marks, strict=True)]
    tables.table([*COLUMNS.values()], cells, drop=drop)
    if any(row.get("best") for row in rows):
        best = "* the best of the listed runs with the same val images; the best of many is partly luck"
        streams.say(streams.notice(best))
    if any(marks):
        streams.say(streams.notice(other_images(marks)))


def show(parsed: Parsed[RunsShowOptions]) -> None:
    """Run `runs show`."""
    import resnetctl.runs as runs
    from resnetctl.system import settings
    from resnetctl.tasks.runs import listing

    run = runs.find(parsed.options.run, settings.load().runs_dir)
    if parsed.options.as_json:
        streams.report(listing.show(run))
        return
    facts, files = listing.facts(run), listing.folded(listing.files(run))
    rows = [(key, shown(facts, key)) for key in facts if key not in SHOWN_ELSEWHERE and facts[key] is not None]
    tables.pairs([("path", run.path), *((COLUMNS.get(key, key), text) for key, text in rows if text)])
    streams.result("")
    tables.pairs(
        (name, tables.size(size) if count == 1 else f"{counted(count, 'file')}, {tables.size(size)}")
        for name, (count, size) in files.items()
    )


def plot(parsed: Parsed[RunsPlotOptions]) -> None:
    """Run `runs plot`."""
    from resnetctl.runs import find
    from resnetctl.system import settings
    from resnetctl.tasks.runs import curves

    report = curves.plot(find(parsed.options.run, settings.load().runs_dir), parsed.options.out)
    if parsed.options.as_json:
        streams.report(report)
        return
    for path in report.files:
        streams.result(streams.printable(str(path)))


def compare(parsed: Parsed[RunsCompareOptions]) -> None:
    """Run `runs compare`."""
    from resnetctl.config.layers import short_key
    from resnetctl.system import settings
    from resnetctl.tasks.runs import comparison

    report = comparison.compare(comparison.chosen(parsed.options.runs, settings.load().runs_dir))
    if parsed.options.as_json:
        streams.report(report)
        return
    used = {key: values for key, values in report.config.items() if key not in report.unused}
    config = [(short_key(key), *(setting(key, value) for value in values)) for key, values in used.items()]
    results = [
        (RESULTS.get(key, key), *(result(key, value) for value in values)) for key, values in report.results.items()
    ]
    results += [(f"test on {name}", *map(tables.percent, values)) for name, values in report.shared.items()]
    data = [(key, *(toml(value)[:12] for value in values)) for key, values in report.data.items()]
    are_many = len(report.runs) > SIDE_BY_SIDE
    lines = [("run" if are_many else "key", *report.runs), *config, *data, *results]
    header, *rows = zip(*lines, strict=True) if are_many else lines
    tables.table(header, rows)
    groups = list(dict.fromkeys(name.partition("/")[0] for name in report.runs if "/" in name))
    if len(groups) == 2:
        line = in_shell(Call("sweep show", (groups[0],), {"against": groups[1]}))
        streams.say(streams.one_line(f"{line}    compares the groups by their means"))
    if not config:
        only = f", but for keys that no run uses: {', '.join(report.unused)}" if report.unused else ""
        streams.say(f"The configs are equal{only}")
    for text in report.plugins:
        streams.say(streams.notice(text))
    others = [*([] if report.same_val else [OTHER_VAL]), *([] if report.same_test else [OTHER_TEST])]
    on_test = report.results.get("test", report.results["test_top1"])
    if others and not report.shared and not (report.same_test and all(value is not None for value in on_test)):
        others.append(SAME_TEST)
    for text in others:
        streams.say(streams.notice(text))


def diff(parsed: Parsed[RunsDiffOptions]) -> None:
    """Run `runs diff`."""
    from resnetctl.config.layers import short_key
    from resnetctl.runs import find
    from resnetctl.system import settings
    from resnetctl.tasks.runs import difference

    folder = settings.load().runs_dir
    report = difference.diff(find(parsed.options.one, folder), find(parsed.options.other, folder))
    if parsed.options.as_json:
        streams.report(report)
        return
    if report.config:
        rows = [
            (
                short_key(item.key),
                *(text for pair in zip(map(toml, item.values), item.origins, strict=True) for text in pair),
            )
            for item in report.config
        ]
        one, other = report.runs
        tables.table(["config", one, "from", other, "from"], [[text or "-" for text in row] for row in rows])
    else:
        streams.result("The configs are equal")
    for name in ("versions", "machine", "data"):
        pairs = getattr(report, name)
        if pairs:
            streams.result("")
            tables.table([name, *report.runs], [(key, *map(toml, values)) for key, values in pairs.items()])
    streams.result("")
    streams.result(parted(report.curves))
    for text in report.plugins:
        streams.say(streams.notice(text))
    if report.curves.numbers:
        numbers = report.curves.numbers.items()
        tables.table(["number", *report.runs], [(key, *short(*values)) for key, values in numbers])


def export(parsed: Parsed[RunsExportOptions]) -> None:
    """Run `runs export`."""
    from resnetctl.system import storage
    from resnetctl.tasks.runs.listing import HEADER, flat, to_csv

    if parsed.options.out is not None:
        storage.require_own(parsed.options.out, ",".join(HEADER[:3]).encode(), hint=Setting("out", "OTHER"))
    report = _listed(parsed.options)
    if parsed.options.as_json:
        streams.report(report)
        return
    rows = [flat(row) for row in report.runs]
    if not rows:
        _say_why_none(parsed.options)
    text = to_csv(rows)
    if parsed.options.out is None:
        streams.result(streams.printable(text.rstrip("\n")))
        return
    storage.write(parsed.options.out, text.encode())
    streams.say(streams.printable(f"wrote {counted(len(rows), 'run')} to {parsed.options.out}"))


def remove(parsed: Parsed[RunsRemoveOptions]) -> None:
    """Run `runs remove`: ask on a terminal, elsewhere only with `--yes`."""
    from resnetctl.system import settings
    from resnetctl.tasks.runs import listing, removal

    chosen = removal.chosen(parsed.options.runs, settings.load().runs_dir)
    if not parsed.options.yes:
        for run in chosen:
            size = tables.size(sum(listing.files(run).values()))
            streams.say(streams.printable(f"{run.path}   {removal.described(run)}, {size}"))
        confirm(f"Remove {counted(len(chosen), 'run')}? [y/N] ")
    report = removal.remove(chosen)
    if parsed.options.as_json:
        streams.report(report)
        return
    for path in report.removed:
        streams.result(streams.printable(f"removed {path}"))


def verify(parsed: Parsed[RunsShowOptions]) -> None:
    """Run `runs verify`."""
    import resnetctl.runs as runs
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
    if report.missing:
        from resnetctl.registry.folders import install_hints

        names = " and ".join(f"{name} {version}" for name, version in report.missing.items())
        verb = "resumed" if report.usable else "used or resumed"
        streams.say(streams.notice(f"the run cannot be {verb} here without {names}, which this Python lacks:"))
        for line in install_hints(report.missing):
            streams.say(streams.printable(f"  {line}"))
    report.require()


def _listed(options: RunsListOptions) -> "ListReport":
    from resnetctl.system import settings
    from resnetctl.tasks.runs import listing

    folder = settings.load().runs_dir
    return listing.list_runs(folder, sort=options.sort, where=options.where, reverse=options.reverse)


def _say_why_none(options: RunsListOptions) -> None:
    from resnetctl.system import settings
    from resnetctl.tasks.runs import listing

    folder = settings.load().runs_dir
    empty = f"There is no run in {folder}. Start one: resnetctl train --data digits"
    streams.say(streams.one_line(listing.why_none(folder, options.where) or empty))


COMMAND = Group(
    name="runs",
    summary="Training runs in ./runs, or in RESNETCTL_RUNS_DIR.",
    members={
        "list": Command(
            name="list",
            summary="List runs, oldest first.",
            run=list_runs,
            options=RunsListOptions,
            examples=(
                ("resnetctl runs list --sort val_top1", "the best run last"),
                ("resnetctl runs list --where arch=resnet20 --where lr=0.1", "some of them"),
            ),
        ),
        "show": Command(
            name="show",
            summary="Show one run: the newest by default.",
            run=show,
            options=RunsShowOptions,
            examples=(("resnetctl runs show last --json", "config, metrics and timings"),),
        ),
        "plot": Command(
            name="plot",
            summary="Write the curves of a run as SVG files.",
            run=plot,
            options=RunsPlotOptions,
            examples=(("resnetctl runs plot last --out figures", "loss, accuracy, learning rate and speed"),),
        ),
        "compare": Command(
            name="compare",
            summary="Show what differs between runs, and what came out.",
            run=compare,
            options=RunsCompareOptions,
            examples=(("resnetctl runs compare baseline last", "two runs, by name"),),
        ),
        "diff": Command(
            name="diff",
            summary="Show why two runs differ, and the first epoch where they do.",
            run=diff,
            options=RunsDiffOptions,
            examples=(("resnetctl runs diff baseline last", "config with origins, versions, data, curves"),),
        ),
        "export": Command(
            name="export",
            summary="Write a table of runs: facts and config.",
            run=export,
            options=RunsExportOptions,
            examples=(("resnetctl runs export --csv --out runs.csv", "for a spreadsheet or pandas"),),
        ),
        "remove": Command(
            name="remove",
            summary="Delete runs; asks first.",
            run=remove,
            options=RunsRemoveOptions,
            examples=(
                ("resnetctl runs remove 'trial-*'", "every run with such a name"),
                ("resnetctl runs remove trial-1 trial-2 --yes", "without a question"),
            ),
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
