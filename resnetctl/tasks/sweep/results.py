"""What came out of a group: mean and spread for each setting over its seeds, and every setting against the best."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from resnetctl.errors import UsageError
from resnetctl.hints import Call, Setting
from resnetctl.report.base import Report
from resnetctl.report.curves import Curves
from resnetctl.report.page import group_file
from resnetctl.runs.differing import keys_between, unequal_lengths
from resnetctl.runs.finding import runs_in
from resnetctl.runs.folder import RunDir
from resnetctl.runs.group import Group
from resnetctl.runs.plugins import mixed_plugins
from resnetctl.spec import Card
from resnetctl.spec.brief import LONGEST
from resnetctl.tasks.sweep.states import progress, reason, state_of
from resnetctl.trust.seeds import (
    FEWEST_SEEDS,
    RecipeComparison,
    SeedMean,
    SeedPairs,
    compare_recipes,
    seed_mean,
    seed_pairs,
)
from resnetctl.wording import counted


@dataclass(frozen=True, kw_only=True)
class SettingResult:
    """One setting of a group.

    Attributes:
        values: the varied keys without the seed.
        seeds: the val accuracy of each finished run by its seed.
        val_top1: their mean; None while no run has finished.
        against_best: this setting minus the best one, pair by pair; None for the best, and without a common seed.
    """

    values: Mapping[str, Any]
    seeds: Mapping[int, float]
    val_top1: SeedMean | None
    against_best: SeedPairs | None = None

    @property
    def name(self) -> str:
        """The values in one line; empty if only the seed varies."""
        return ", ".join(f"{key} {value}" for key, value in self.values.items())

    @property
    def label(self) -> str:
        """The name on the screen."""
        return self.name or "all runs"


@dataclass(frozen=True, kw_only=True)
class AgainstGroup(Card):
    """The best setting of a group against the best of another: its `path`, the names of both, what the seeds say.

    `best` is the setting of the other group; `differs` has the config keys in which both settings differ.
    """

    path: str
    settings: tuple[str, str]
    seeds: RecipeComparison
    best: SettingResult
    differs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SweepReport(Report):
    """A group of runs: `settings` with the best mean val accuracy first, and how many runs are in which `state`.

    `against` is the comparison with another group, if it was asked for. `plugins` says of which plugins the runs used
    several versions, or other code: those of the group, and those of both groups in a comparison. `lengths` names the
    runs that a resume made longer than the other seeds of their setting.
    """

    schema: ClassVar[str] = "resnetctl.sweep.show/1"
    path: str
    keys: tuple[str, ...]
    states: Mapping[str, int]
    settings: tuple[SettingResult, ...]
    against: AgainstGroup | None = None
    plugins: tuple[str, ...] = ()
    lengths: tuple[str, ...] = ()

    @property
    def caption(self) -> str:
        """The heading of the table in a notebook."""
        return f"sweep {Path(self.path).name}: val accuracy"

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield one line for each setting: its mean, the 95 % interval, and what the seeds say against the best."""
        for setting in self.settings:
            mean, pairs = setting.val_top1, setting.against_best
            if mean is None:
                yield setting.label, "-"
                continue
            between = "" if mean.interval is None else f", {mean.interval[0]:.1%} to {mean.interval[1]:.1%}"
            verdict = "" if pairs is None else f"; {pairs.verdict} than the best"
            if pairs is not None and pairs.verdict == "not distinguishable":
                verdict = f"; {pairs.verdict} from the best"
            yield setting.label, f"{mean.mean:.1%} (n = {mean.n}{between}){verdict}"

    def __repr__(self) -> str:
        """Return the best settings with their mean val accuracy, as far as they fit in one line, and the folder."""
        rows = [f"{label}: {text}" for label, text in self.rows()]
        most = next((n for n in range(len(rows), 0, -1) if len("; ".join(rows[:n])) < LONGEST), 1)
        return f"SweepReport({'; '.join([*rows[:most], *['...'] * (most < len(rows))])}; {self.path!r})"

    def plot(self) -> Curves:
        """Return an SVG of the accuracies of all seeds, with the interval of each mean.

        Raises `UsageError` before the first run has finished.
        """
        shown = [(item.label, item.seeds, item.val_top1) for item in self.settings if item.val_top1]
        if not shown:
            raise UsageError("no run of the group has finished", where=self.path, hint=Call("sweep work", (self.path,)))
        if self.against is not None and (against := self.against.best.val_top1):
            own, other, best = Path(self.path).name, Path(self.against.path).name, self.against.best
            shown = [(f"{own}: {label}", seeds, mean) for label, seeds, mean in shown]
            shown.append((f"{other}: {best.label}", best.seeds, against))
        rows = [(name, [*seeds.values()], mean.mean, mean.interval) for name, seeds, mean in shown]
        return Curves({"sweep.svg": group_file(rows)})


def show(group: Group) -> SweepReport:
    """Return the report of a group, finished or not. Accuracies are on val, of the epoch whose weights were kept."""
    plan = group.plan()
    keys = [key for key in plan["keys"] if key != "seed"]
    found: dict[str, tuple[dict[str, Any], dict[int, float]]] = {}
    for name, point in plan["points"].items():
        values = {key: point[key] for key in keys if key in point}
        _, seeds = found.setdefault(json.dumps(values, sort_keys=True), (values, {}))
        accuracy = group.value(name)
        if accuracy is not None:
            seeds[_seed(group, name)] = accuracy
    ranked = sorted(found.values(), key=lambda item: -seed_mean([*item[1].values()]).mean if item[1] else 1.0)
    best = ranked[0][1]
    return SweepReport(
        path=str(group.path),
        keys=tuple(keys),
        states=progress(group),
        settings=tuple(
            SettingResult(
                values=values,
                seeds=dict(sorted(seeds.items())),
                val_top1=_of_shares([*seeds.values()]) if seeds else None,
                against_best=seed_pairs(seeds, best) if place and seeds.keys() & best.keys() else None,
            )
            for place, (values, seeds) in enumerate(ranked)
        ),
        plugins=mixed_plugins(runs_in(group.path)),
        lengths=_lengths(group, [values for values, _ in ranked]),
    )


def _lengths(group: Group, settings: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return a sentence for each setting with finished runs that trained longer than its others."""
    if group.plan().get("halving"):
        return ()  # a run that was stopped at a rung may go on by hand
    sentences = [unequal_lengths(_finished(group, values)) for values in settings]
    return tuple(sentence for sentence in sentences if sentence)


def _named(group: Group, values: Mapping[str, Any]) -> list[str]:
    """Return the names of the runs of a setting."""
    points = group.plan()["points"]
    keys = [key for key in group.plan()["keys"] if key != "seed"]
    return [name for name in points if {key: points[name][key] for key in keys if key in points[name]} == dict(values)]


def _finished(group: Group, values: Mapping[str, Any]) -> list[RunDir]:
    """Return the runs of a setting whose accuracies count."""
    return [group.run(name) for name in _named(group, values) if group.value(name) is not None]


def _of_shares(values: Sequence[float]) -> SeedMean:
    """Return the mean of shares; its interval stays in 0..1."""
    mean = seed_mean(values)
    if mean.interval is None:
        return mean
    return replace(mean, interval=(max(0.0, mean.interval[0]), min(1.0, mean.interval[1])))


def compared(group: Group, other: Group) -> SweepReport:
    """Return the report of `show` with the comparison of both best settings, over the seeds of each.

    Raises `UsageError` if they were trained on other data, or one has too few finished seeds.
    """
    reports = [show(each) for each in (group, other)]
    one, two = (_data(each) for each in (group, other))
    if one != two:
        raise UsageError(f"the groups have different val images: {one} and {two}", where=Setting("against", other.path))
    best = [report.settings[0] for report in reports]
    try:
        seeds = compare_recipes(*([*each.seeds.values()] for each in best))
    except ValueError as error:
        few = len(best[0].seeds) >= FEWEST_SEEDS
        raise _too_few(str(error), (group, other)[few], best=best[few]) from None
    names = (best[0].label, best[1].label)
    differs = keys_between(_finished(group, best[0].values), _finished(other, best[1].values))
    against = AgainstGroup(path=str(other.path), settings=names, seeds=seeds, best=best[1], differs=differs)
    plugins = mixed_plugins([*runs_in(group.path), *runs_in(other.path)])
    lengths = tuple(dict.fromkeys([*reports[0].lengths, *reports[1].lengths]))
    return replace(reports[0], against=against, plugins=plugins, lengths=lengths)


def _too_few(message: str, group: Group, *, best: SettingResult) -> UsageError:
    """Return the error about a setting with too few finished seeds. Failed runs are not trained again."""
    own = _named(group, best.values)
    failed = [name for name in own if state_of(group, name) == "failed"]
    where = str(group.path)
    why = f"{failed[0]}: {reason(group, failed[0])}" if failed else ""
    problems = [f"{len(failed)} of {counted(len(own), 'run')} failed; {why}"] if failed else []
    if failed and len(failed) == len(own):
        return UsageError(message, where=where, problems=problems, hint=Call("runs show", (group.path / failed[0],)))
    seeds = FEWEST_SEEDS + len(failed)
    more = Setting("seeds", seeds, note="in the same line as before adds the others")
    in_sweep = f"seeds = {seeds} in the file of the sweep, and `sweep` again, add the others"
    return UsageError(message, where=where, problems=problems, hint=more if group.is_by_flags() else in_sweep)


def _data(group: Group) -> str:
    """Return the dataset, and which of its images are val."""
    config = group.run(group.names()[0]).read_config()
    return f"{config.data} (val_fraction {config.val_fraction:g}, split_seed {config.split_seed})"


def _seed(group: Group, name: str) -> int:
    return group.run(name).read_config().seed
