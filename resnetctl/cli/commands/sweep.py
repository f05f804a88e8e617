"""`sweep`, `sweep work` and `sweep show`."""

from resnetctl.cli.groups import show_results, work_on
from resnetctl.cli.parser.command import Command, Group, Parsed
from resnetctl.cli.parser.scale_options import SweepGroupOptions, SweepRunOptions, SweepShowOptions
from resnetctl.cli.screen import streams
from resnetctl.hints import Setting
from resnetctl.wording import counted


def run(parsed: Parsed[SweepRunOptions]) -> None:
    """Run `sweep FILE`."""
    from resnetctl.system import settings
    from resnetctl.tasks.sweep.opened import open_group

    options = parsed.options
    group = open_group(options.file, settings.load(), name=options.name, out=options.out, halving=options.halving)
    total, finished = group.total(), group.finished()
    state = f", {finished} of them finished" if finished else ""
    nothing = f"nothing to add: {finished} of {counted(total, 'run')} finished"
    streams.say(streams.one_line(f"{group.path}: " + (nothing if finished == total else counted(total, "run") + state)))
    if not options.queue_only:
        work_on(group, as_json=options.as_json)


def work(parsed: Parsed[SweepGroupOptions]) -> None:
    """Run `sweep work`."""
    from resnetctl.runs.group import find_group
    from resnetctl.system import settings

    work_on(find_group(parsed.options.group, settings.load().runs_dir), as_json=parsed.options.as_json)


def show(parsed: Parsed[SweepShowOptions]) -> None:
    """Run `sweep show`."""
    from resnetctl.runs.group import find_group
    from resnetctl.system import settings, storage
    from resnetctl.tasks.sweep import results

    options, folder = parsed.options, settings.load().runs_dir
    group, other = find_group(options.group, folder), options.against
    report = results.show(group) if other is None else results.compared(group, find_group(other, folder))
    if options.plot is not None:
        storage.require_own(options.plot, b"<svg", hint=Setting("plot", "OTHER"))
        storage.write(options.plot, report.plot()["sweep.svg"])
    show_results(report, as_json=options.as_json)
    if options.plot is not None:
        streams.say(streams.one_line(f"wrote {options.plot}"))


COMMAND = Group(
    name="sweep",
    summary="Train many configs or seeds as one group. `sweep FILE.toml` makes a group and works on it.",
    default="run",
    members={
        "run": Command(
            name="run",
            summary="Make a group of runs from a file, and train them. `run` can be left out.",
            run=run,
            options=SweepRunOptions,
            elsewhere={"*": "under [config] in the file, for all runs: KEY = VALUE"},
            examples=(
                ("resnetctl sweep lr.toml", "train every combination"),
                ("resnetctl sweep lr.toml --halving 3", "stop all but the best third at each rung"),
                ("resnetctl sweep lr.toml --queue-only", "let other machines train them"),
            ),
        ),
        "work": Command(
            name="work",
            summary="Train the runs of a group that nobody trains. Several workers share a group.",
            run=work,
            options=SweepGroupOptions,
            examples=(("resnetctl sweep work lr", "also on other machines, on a shared disk"),),
        ),
        "show": Command(
            name="show",
            summary="Show mean, spread and pairs by seed of a group.",
            run=show,
            options=SweepShowOptions,
            examples=(
                ("resnetctl sweep show lr --plot lr.svg", "a table, and a plot"),
                ("resnetctl sweep show mine --against plain", "is one recipe better?"),
            ),
        ),
    },
    examples=(
        ("resnetctl sweep lr.toml", "train every combination of a file"),
        ("resnetctl sweep work lr", "help with a group, or go on with it"),
        ("resnetctl sweep show lr", "what came out"),
    ),
)
