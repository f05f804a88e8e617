"""The plugins that runs were trained with: what has changed since, and what is not the same for all of them."""

from collections.abc import Iterable, Mapping, Sequence

from resnetctl.errors import ConfigError
from resnetctl.hints import Setting
from resnetctl.registry.code import edited, named_files
from resnetctl.registry.folders import installed
from resnetctl.runs.finding import runs_in
from resnetctl.runs.folder import RunDir
from resnetctl.runs.group import Group

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
    """Return a sentence for each plugin of which the runs used several versions, or one version with other code."""
    versions = {run.path.name: run.plugins() for run in runs}
    names = dict.fromkeys(name for used in versions.values() for name in used)
    code = {run.path.name: run.code() for run in runs}
    sentences = []
    for name in names:
        own = {run: used[name] for run, used in versions.items() if name in used}
        if len({*own.values()}) > 1:
            parts = [f"{version} for {_listed(run for run in own if own[run] == version)}" for version in _unique(own)]
            sentences.append(f"the runs were trained with different versions of {name}: {'; '.join(parts)}")
            continue
        each = {run: digests[name] for run, digests in code.items() if name in digests}
        files = {run: {"": one} if isinstance(one, str) else one for run, one in each.items()}
        if changed := _unequal_files(files):
            marks = {run: str([digests.get(file) for file in changed]) for run, digests in files.items()}
            parts = [_listed(run for run in marks if marks[run] == mark) for mark in _unique(marks)]
            text = named_files(name, [file for file in changed if file])
            sentences.append(f"the runs were trained with different code of {text}: {'; '.join(parts)}")
    return tuple(sentences)


def _unequal_files(files: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the files that two runs used with other content."""
    known: dict[str, set[str]] = {}
    for digests in files.values():
        for file, digest in digests.items():
            known.setdefault(file, set()).add(digest)
    return [file for file, digests in known.items() if len(digests) > 1]


def _unique(values: Mapping[str, str]) -> list[str]:
    return [*dict.fromkeys(values.values())]


def _listed(runs: Iterable[str]) -> str:
    names = [*runs]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
