"""The plugins that runs were trained with: what has changed since, and what is not the same for all of them."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from resnetctl.errors import ConfigError
from resnetctl.hints import Setting
from resnetctl.registry.code import Digests, edited, named_files
from resnetctl.registry.folders import installed
from resnetctl.runs.finding import runs_in
from resnetctl.runs.folder import RunDir
from resnetctl.runs.group import Group
from resnetctl.runs.used_plugins import UsedPlugins

SHOWN = 3  # names of runs


def changed_since(runs: Iterable[RunDir]) -> list[str]:
    """Return a line for each plugin that has another version, or other code, than when the runs were trained.

    Plugins that are not installed are left out.
    """
    lines: dict[str, str] = {}
    for run in runs:
        used, code = run.plugins(), run.code()
        for name, now in installed(used).items():
            if now != used[name]:
                lines.setdefault(name, f"{name}: {used[name]} in {run.path.name}, {now} now")
            elif name in code and (texts := edited({name: code[name]})):
                lines.setdefault(name, f"the code of {texts[0]} was changed since {run.path.name} was trained")
    return [*lines.values()]


def require_same_plugins(group: Group) -> None:
    """Raise `ConfigError` if plugins have changed since the runs of a group began: new ones would train other code."""
    if changes := changed_since(runs_in(group.path)):
        raise ConfigError(
            "plugins have changed since the runs of the group were trained, so more runs would mix both",
            where=str(group.path),
            problems=changes,
            hint=Setting("name", "OTHER", note="makes a new group"),
        )


def mixed_plugins(runs: Sequence[RunDir]) -> tuple[str, ...]:
    """Return a sentence for each plugin of which the runs used several versions, or one version with other code.

    The kept weights of the runs are compared. Runs that a resume trained on with a changed plugin have sentences of
    their own.
    """
    labels = _labels(runs)
    versions = {label: run.plugins() for label, run in labels.items()}
    names = dict.fromkeys(name for used in versions.values() for name in used)
    code = {label: run.code() for label, run in labels.items()}
    sentences = []
    for name in names:
        own = {run: used[name] for run, used in versions.items() if name in used}
        if len({*own.values()}) > 1:
            parts = [f"{version} for {_listed(run for run in own if own[run] == version)}" for version in _unique(own)]
            sentences.append(f"the runs were trained with different versions of {name}: {'; '.join(parts)}")
            continue
        each = {run: digests[name] for run, digests in code.items() if name in digests}
        if changed := _unequal_files(each):
            marks = {run: str([_by_file(digests).get(file) for file in changed]) for run, digests in each.items()}
            parts = [_listed(run for run in marks if marks[run] == mark) for mark in _unique(marks)]
            text = named_files(name, [file for file in changed if file])
            sentences.append(f"the runs were trained with different code of {text}: {'; '.join(parts)}")
    return (*sentences, *changed_within(runs))


def changed_within(runs: Sequence[RunDir]) -> tuple[str, ...]:
    """Return a sentence for each change of a plugin before a resume: `one trained with 1.3 of own from epoch 3 on`."""
    trained: dict[str, list[str]] = {}
    for label, run in _labels(runs).items():
        for then, now in itertools.pairwise(run.used_plugins()):
            for change in _changes(then, now):
                trained.setdefault(f"{change} from epoch {now.epoch} on", []).append(label)
    return tuple(f"{_listed(names)} trained with {change}" for change, names in trained.items())


def _changes(then: UsedPlugins, now: UsedPlugins) -> Iterator[str]:
    for name, version in now.plugins.items():
        before = then.plugins.get(name, version)
        if version != before:
            yield f"{name} {version} instead of {before}"
        elif name in then.code and name in now.code:
            if changed := _unequal_files({"then": then.code[name], "now": now.code[name]}):
                yield f"other code of {named_files(name, changed)}"
            elif _by_file(now.code[name]).keys() - _by_file(then.code[name]).keys():  # a file has another name
                yield f"other code of {name}"


def _labels(runs: Sequence[RunDir]) -> dict[str, RunDir]:
    """Return the runs by name, and by path those of different folders that have one name."""
    count = Counter(run.name for run in runs)
    return {run.name if count[run.name] == 1 else str(run.path): run for run in runs}


def _unequal_files(digests: Mapping[str, Digests]) -> list[str]:
    """Return the files that two runs used with other content; "" for all files together."""
    known: dict[str, set[str]] = {}
    for each in digests.values():
        for file, digest in _by_file(each).items():
            known.setdefault(file, set()).add(digest)
    return [file for file, values in known.items() if len(values) > 1]


def _by_file(digests: Digests) -> Mapping[str, str]:
    return {"": digests} if isinstance(digests, str) else digests


def _unique(values: Mapping[str, str]) -> list[str]:
    return [*dict.fromkeys(values.values())]


def _listed(runs: Iterable[str]) -> str:
    names = [*runs]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
