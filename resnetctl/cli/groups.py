"""Train a group of runs on the screen, and show what came out."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from resnetctl.cli.screen import shell_hints, streams, tables
from resnetctl.cli.screen.loading import load_torch
from resnetctl.cli.screen.progress import Screen
from resnetctl.wording import counted

if TYPE_CHECKING:
    from resnetctl.runs.group import Group
    from resnetctl.tasks.sweep.results import AgainstGroup, SettingResult, SweepReport
    from resnetctl.trust.seeds import SeedPairs


def work_on(group: "Group", *, as_json: bool) -> None:
    """Train the runs of a group that are free, then show its results."""
    load_torch()
    from resnetctl.system import settings
    from resnetctl.tasks.resume import resume
    from resnetctl.tasks.sweep import results
    from resnetctl.tasks.sweep.work import work
    from resnetctl.tasks.train import train
    from resnetctl.training.launch import Trainer

    watched(work(group, settings.load(), trainer=Trainer(start=train, resume=resume)))
    show_results(results.show(group), as_json=as_json, next_step=True)


def show_results(report: "SweepReport", *, as_json: bool, next_step: bool = False) -> None:
    """Print a table with a row for each setting, or each seed of a single one, and what can be said about the best."""
    if as_json:
        streams.report(report)
        return
    rows = [_row(setting) for setting in report.settings]
    tables.table(["setting", "val acc", "sd, points", "n", "95 % interval", "against the best"], rows)
    if len(report.settings) == 1 and report.settings[0].seeds:
        streams.result("")
        seeds = report.settings[0].seeds.items()
        tables.table(["seed", "val acc"], [(seed, tables.percent(accuracy)) for seed, accuracy in seeds])
    if report.against is not None:
        streams.result("\n" + _other(report.settings[0].label, report.against))
        if report.against.differs:
            streams.result(streams.one_line(f"differs in: {', '.join(report.against.differs)}"))
    for text in (*report.plugins, *report.lengths):
        streams.say(streams.notice(text))
    states = [f"{number} {state}" for state, number in report.states.items() if number]
    streams.say(streams.one_line(f"{report.path}: {', '.join(states)}"))
    if next_step and any(setting.val_top1 for setting in report.settings):
        streams.result("\n".join(["", "Next", f"  resnetctl sweep show {report.path} --plot FILE.svg"]))


def watched(facts: "Iterator[Any]") -> Any:
    """Show a line for each run that begins or ends, and the step below them; return what the generator returns."""
    from resnetctl.facts import Finished, Notice, Started

    started: Started | None = None
    with Screen() as screen:
        while True:
            try:
                fact = next(facts)
            except StopIteration as end:
                return end.value
            if isinstance(fact, Notice):
                screen.line(shell_hints.notice_lines(fact))
            elif isinstance(fact, Started):
                started = fact
            elif isinstance(fact, Finished):
                screen.line(streams.one_line(f"  {_result(fact.summary)}"))
            elif hasattr(fact, "loss") and started is not None:
                step, steps = fact.step, started.steps
                screen.footer(lambda: [f"  step {step:,} of {steps:,}"])  # noqa: B023  # drawn at once


def _result(summary: Any) -> str:
    from resnetctl.facts import kept_epoch
    from resnetctl.runs.log import val_key

    kept = kept_epoch(summary)
    key = val_key(kept)
    name = "val accuracy" if key == "val_top1" else key.replace("_", " ", 1)
    number = f"{name} {tables.percent(kept[key])}, " if key else ""
    return f"{number}{counted(summary['epochs'], 'epoch')} in {tables.duration(summary['seconds'])}"


def _row(setting: "SettingResult") -> tuple[str, ...]:
    mean = setting.val_top1
    name = setting.label
    if mean is None:
        return name, "-", "-", "0", "-", "-"
    none = "-" if mean.n == 1 else "none: equal values"
    interval = (
        none if mean.interval is None else tables.interval(max(0.0, mean.interval[0]), min(1.0, mean.interval[1]))
    )
    spread = "-" if mean.sd is None else f"{100 * mean.sd:.2f}"
    return name, tables.percent(mean.mean), spread, str(mean.n), interval, _against(setting.against_best)


def _other(label: str, against: "AgainstGroup") -> str:
    """Return the sentence about another group."""
    seeds = against.seeds
    text = f"{label} against {against.settings[1]} of {against.path}: {100 * seeds.difference:+.2f} points"
    if seeds.interval is None:
        return streams.one_line(f"{text}, {seeds.verdict}: equal values of {seeds.n[0]} and {seeds.n[1]} seeds")
    low, high = (100 * bound for bound in seeds.interval)
    return streams.one_line(
        f"{text} ({low:+.2f} to {high:+.2f}), p = {seeds.p:.2g}, {seeds.verdict}; Welch's t-test over {seeds.n[0]} and "
        f"{seeds.n[1]} seeds"
    )


def _against(pairs: "SeedPairs | None") -> str:
    """Return the difference to the best setting in points, and how many seeds would show a small one."""
    if pairs is None:
        return "-"
    text = f"{100 * pairs.difference:+.2f} points, {pairs.verdict}"
    if pairs.verdict != "not distinguishable":
        return text
    if pairs.interval is None:
        few = "one seed cannot show a difference" if pairs.n == 1 else f"all {pairs.n} seeds differ by the same"
        return f"{text}; {few}"
    points = f"{100 * pairs.resolution:g} points"
    if not pairs.needed:
        return f"{text}; more than 10,000 seeds are needed to show a difference of {points} in 4 of 5 cases"
    return f"{text}; {pairs.needed:,} seeds would show a difference of {points} in 4 of 5 cases"
