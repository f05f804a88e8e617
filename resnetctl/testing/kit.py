"""Judge entries of the registry by the rules of their kind.

Another process imports an entry first. An entry that fails there, or changes torch, is not judged further, so it cannot
disturb the checks of others. Worker processes, one for each core, judge the rest. If a rule ends its process, that is
one more finding.
"""

import contextlib
import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import groupby
from math import ceil
from pathlib import Path
from typing import Any

from resnetctl import registry
from resnetctl.errors import PluginError, UsageError, WorkFailed
from resnetctl.facts import Progress
from resnetctl.hints import Call, closest
from resnetctl.registry import KINDS, Entry, Kind
from resnetctl.registry.first_party import OWN
from resnetctl.registry.folders import distribution_in, folder_of, install_hints, install_line, installed
from resnetctl.registry.loading import IMPORT_FAILED
from resnetctl.registry.metadata import normal_name
from resnetctl.registry.probe import Probe, probe
from resnetctl.registry.remedies import remedy
from resnetctl.system.machine import cores_granted
from resnetctl.system.plain_files import is_path
from resnetctl.system.processes import Frame, Workers
from resnetctl.testing.findings import Finding, Rule, expect, judge_all, judge_together, not_judged
from resnetctl.testing.findings import judge as judge_one

WORKERS = 4  # processes at most; each takes half a gigabyte of memory
TOGETHER = 8  # entries that a worker judges at once, where a rule is faster so
ENTRY_SECONDS, RULE_SECONDS = 120.0, 90.0  # an entry or a rule that takes longer counts as hanging
NEXT_SECONDS = 15.0  # more for each further entry of a group


def rules(kind: Kind) -> Mapping[str, Rule]:
    """Return the conformance rules of a kind by name, without the import rules."""
    return {name: rule for table in KINDS[kind].rules for name, rule in registry.resolve(table).items()}


def check_object(kind: Kind, value: Any, *, subject: str = "", source: Path | None = None) -> list[Finding]:
    """Apply every rule of a kind to one object. `source` is a tester's own copy of a dataset's images."""
    title = subject or f"{kind} {getattr(value, 'name', None) or getattr(value, '__name__', type(value).__name__)}"
    with _prepared(kind, value, source=source) as ready:
        return judge_all(title, rules(kind), target=ready)


def check_entries(entries: Sequence[Entry]) -> Generator[Progress, None, list[Finding]]:
    """Apply every rule to every entry, in other processes. Yield progress; return findings in the entries' order."""
    yield _progress(0, entries)
    with _workers(entries) as workers:  # they load torch while the entries are probed
        probes = probe([entry for entry in entries if entry.status in ("available", "clash")])
        findings = {entry: import_findings(entry, probes.get(entry)) for entry in entries}
        sound = [entry for entry in entries if all(one.ok for one in findings[entry] if one.rule in ESSENTIAL)]
        done = len(entries) - len(sound)
        slowest_first = sorted(sound, key=lambda entry: -KINDS[entry.kind].seconds)  # so that all cores finish together
        for judged in _spread(slowest_first, workers):
            for entry, found in judged.items():
                findings[entry] += found
            done += len(judged)
            yield _progress(done, entries)
    return [one for entry in entries for one in findings[entry]]


def answer(frame: Frame) -> Frame:
    """Judge entries of one kind by the named rules, or by all, in a worker process.

    Args:
        frame: JSON `[entries, names]`; without entries, only the rules of all kinds are loaded.

    Returns:
        The findings of each entry as JSON.
    """
    values, names = json.loads(frame)
    if not values:
        return json.dumps([[*rules(kind)] for kind in KINDS])
    entries = [Entry(**one) for one in values]
    kind = entries[0].kind
    table = {name: rule for name, rule in rules(kind).items() if name in names or not names}
    with contextlib.ExitStack() as stack:
        ready = [stack.enter_context(_prepared(kind, _object(entry))) for entry in entries]
        cases = zip(entries, ready, judge_together(table, ready), strict=True)
        found = [judge_all(title(entry), table, target=target, seen=seen) for entry, target, seen in cases]
    return json.dumps([[vars(finding) for finding in findings] for findings in found])


def select(target: str | None) -> list[Entry]:
    """Return the entries of a distribution, of a name, or of `dist:name`; all of them for `None`.

    Raises:
        UsageError: there is neither such a distribution nor such a name.
        PluginError: its plugin is known, and is not installed.
    """
    entries = registry.all_entries()
    if target is None:
        return [entry for entry in entries if entry.status != "disabled"]
    name = name_of(target)
    spellings = {name, name.lower().replace("_", "-")}  # a distribution's name has several spellings
    chosen = [entry for entry in entries if spellings & {*_handles(entry)}]
    if not chosen:
        waiting = [one.hint for one in registry.not_installed(name)]
        waiting += [hint for one in registry.unknown_groups(name) for hint in one.hints]
        if waiting:
            raise PluginError(f"the plugin '{target}' is not installed", hint=waiting)
        _refuse_folder(target)
        if is_path(target):
            raise UsageError("no such folder", where=target, hint=Call("plugins list"))
        registry.require_installed(name)
        known = {handle for entry in entries for handle in _handles(entry)}
        unknown, similar = f"no plugin and no distribution with plugins is called '{target}'", closest(target, known)
        raise UsageError(unknown, hint=[*([similar] if similar else []), Call("plugins list")])
    return chosen


def name_of(target: str | None) -> str:
    """Return the name that a target of `select` stands for: the folder of a plugin stands for its distribution."""
    return "" if target is None else distribution_in(Path(target)) or target


def _refuse_folder(target: str) -> None:
    """Raise an error when `target` is the folder or the name of a plugin that can be installed from a folder."""
    own = normal_name(target)
    if own in OWN and not installed([own]):
        raise PluginError(f"the plugin {own} is not installed", hint=[*install_hints({own: ""})])
    folder = Path(target) if Path(target).is_dir() else folder_of(target)
    name = None if folder is None else distribution_in(folder)
    if folder is None or (name is None and folder.name == target):  # a name, and some other folder has it
        return
    if name is None:
        reason = "this folder has no pyproject.toml that names a distribution"
        raise UsageError(reason, where=target, hint=Call("plugins new", ("my-block",), {"kind": "block"}))
    again = Call("plugins check", (name,))
    if installed([name]):
        raise UsageError(
            f"the distribution {name} is installed, and registers no plugin",
            where=str(folder / "pyproject.toml"),
            hint=['add a table such as [project.entry-points."resnetctl.blocks"], then', install_line(folder), again],
        )
    raise PluginError(f"the plugin {name} is not installed", where=str(folder), hint=[install_line(folder), again])


def title(entry: Entry) -> str:
    """Return e.g. `block se_basic`; if the name clashes, with its distribution."""
    owner = f"{entry.distribution}:" if entry.status == "clash" else ""
    return f"{entry.kind} {owner}{entry.name}"


def summary(findings: Iterable[Finding]) -> list[tuple[str, int, int, int]]:
    """Count the findings of each subject, in order: (subject, rules, skipped, failed)."""
    counts: dict[str, list[int]] = {}
    for one in findings:
        row = counts.setdefault(one.subject, [0, 0, 0])
        row[0] += 1
        row[1] += one.status == "skipped"
        row[2] += not one.ok
    return [(subject, *row) for subject, row in counts.items()]  # type: ignore[misc]


def import_findings(entry: Entry, probed: Probe | None) -> list[Finding]:
    """Return the findings of the import rules. `probed` is None if the entry cannot be imported at all."""
    table = _about_import(entry.kind)
    if probed is None or probed.error:
        table = {"import": table["import"]} | ({"silent": table["silent"]} if probed and probed.printed else {})
    target = probed or Probe(entry=entry, error=f"it is {entry.status}: {entry.reason}")
    findings = judge_all(title(entry), table, target=target)
    return [
        replace(one, fix=_fix(target) or one.fix) if one.rule == "import" and not one.ok else one for one in findings
    ]


def _fix(probed: Probe) -> str:
    """Return the advice for an entry that cannot be used, "" if the rule's own fits."""
    if probed.entry.status in ("stale", "broken"):
        return remedy(probed.entry)
    if probed.remedy:
        return probed.remedy
    if probed.error and IMPORT_FAILED not in probed.error and not probed.error.startswith("importing it"):
        return f"let the entry point name an object as `plugins new NAME --kind {probed.entry.kind}` writes it"
    return ""


def judge_entry(entry: Entry, name: str) -> Finding:
    """Apply one rule to one entry, for `conformance`. The entries of a distribution are probed once."""
    probed = _probes(entry.distribution).get(entry)
    about_import = {one.rule: one for one in import_findings(entry, probed)}
    if name in about_import:
        return about_import[name]
    if not all(one.ok for rule, one in about_import.items() if rule in ESSENTIAL):
        return Finding(subject=title(entry), rule=name, status="skipped", seen="it cannot be imported")
    with _prepared(entry.kind, _object(entry)) as ready:
        return judge_one(title(entry), name, rule=rules(entry.kind)[name], target=ready)


def all_rules(kind: Kind) -> dict[str, Rule]:
    """Return all rules of a kind by name, the import rules first."""
    return _about_import(kind) | dict(rules(kind))


def _about_import(kind: Kind) -> dict[str, Rule]:
    """Return the import rules that apply to a kind."""
    row = KINDS[kind]
    applies = {"torch_free": row.torch_free, "called": row.has_name}
    return {name: rule for name, rule in IMPORT_RULES.items() if applies.get(name, True)}


@cache
def _probes(distribution: str) -> dict[Entry, Probe]:
    return probe([entry for entry in select(distribution) if entry.status in ("available", "clash")])


@contextlib.contextmanager
def _workers(entries: Sequence[Entry]) -> Iterator[Workers]:
    """Start the worker processes and let each load the rules."""
    with Workers(min(cores_granted(), WORKERS, len(entries) or 1), serve=f"{__name__}:answer") as workers:
        for _ in range(workers.count):
            workers.ask(_request([]), where="the rules", limit=RULE_SECONDS)
        yield workers


def _spread(entries: Sequence[Entry], workers: Workers) -> Iterator[dict[Entry, list[Finding]]]:
    """Judge entries in worker processes. If one ends its worker, judge it and those beside it rule by rule."""
    from concurrent.futures import as_completed

    waiting = {
        workers.ask(_request(group), where=title(group[0]), limit=ENTRY_SECONDS + NEXT_SECONDS * len(group[1:])): group
        for group in _groups(entries, workers.count)
    }
    for future in as_completed(waiting):
        group = waiting[future]
        try:
            yield dict(zip(group, _findings(future.result()), strict=True))
        except WorkFailed:
            yield {entry: [*_one_by_one(workers, entry)] for entry in group}


def _groups(entries: Sequence[Entry], workers: int) -> Iterator[Sequence[Entry]]:
    """Yield the entries that a worker judges at once: several if a rule of their kind does that, but one a worker."""
    for kind, alike in groupby(entries, key=lambda entry: entry.kind):
        same = [*alike]
        share = ceil(len(same) / workers)
        most = min(TOGETHER, share) if any(rule.together for rule in rules(kind).values()) else 1
        yield from (same[start : start + most] for start in range(0, len(same), most))


def _one_by_one(workers: Workers, entry: Entry) -> Iterator[Finding]:
    """Judge each rule in a process of its own. After the first rule that ends its process, skip the others."""
    culprit = ""
    for name in rules(entry.kind):
        if culprit:
            yield Finding(subject=title(entry), rule=name, status="skipped", seen=not_judged(culprit))
            continue
        try:
            future = workers.ask(_request([entry], name), where=title(entry), limit=RULE_SECONDS)
            yield from _findings(future.result())[0]
        except WorkFailed as error:
            culprit, fix = name, "find the call with `python -X faulthandler`: code may raise, but not end the process"
            if "takes more than" in error.message:
                fix = "every call of forward, build or read must return: look for a loop that does not end"
            yield Finding(subject=title(entry), rule=name, status="failed", seen=error.message, fix=fix)


def _request(entries: Sequence[Entry], *names: str) -> str:
    return json.dumps([[vars(entry) for entry in entries], names])


def _findings(text: str) -> list[list[Finding]]:
    return [[Finding(**values) for values in findings] for findings in json.loads(text)]


def _progress(done: int, entries: Sequence[Entry]) -> Progress:
    return Progress(what="checking", done=done, total=len(entries), unit="plugins")


@contextlib.contextmanager
def _prepared(kind: Kind, value: Any, *, source: Path | None = None) -> Iterator[Any]:
    """Yield the argument of the rules of a kind for an object."""
    if not KINDS[kind].prepare:
        yield value
        return
    with registry.resolve(KINDS[kind].prepare)(value, source) as ready:
        yield ready


def _object(entry: Entry) -> Any:
    return registry.get(entry.kind, f"{entry.distribution}:{entry.name}")


def _handles(entry: Entry) -> Iterable[str]:
    return entry.name, entry.distribution, f"{entry.distribution}:{entry.name}"


def _imports(probed: Probe) -> str:
    expect(not probed.error, probed.error)
    return probed.entry.value


def _silent(probed: Probe) -> str:
    expect(not probed.printed, f"it printed {probed.printed!r}")
    return "nothing printed"


def _has_its_name(probed: Probe) -> str:
    name, own = probed.entry.name, probed.own_name
    expect(own in ("", name), f"the entry is {name!r}, the object {own!r}")
    return name


def _leaves_torch(probed: Probe) -> str:
    expect(not probed.patched, f"it changed {', '.join(probed.patched[:5])}")
    return "torch unchanged"


def _torch_free(probed: Probe) -> str:
    expect(not probed.loads_torch, f"importing {probed.entry.value.partition(':')[0]} loads torch")
    return "torch-free"


ESSENTIAL = ("import", "torch")
IMPORT_RULES = {
    "import": Rule(
        wants="an object that can be imported in a new process",
        judge=_imports,
        fix="name an existing MODULE:OBJECT in the entry point, and do no work while the module loads",
    ),
    "called": Rule(
        wants="an object with the name of its entry",
        judge=_has_its_name,
        fix="set name= to the entry's name in pyproject.toml: runs, weights and stores show it",
    ),
    "silent": Rule(
        wants="nothing printed while the module loads",
        judge=_silent,
        fix="remove the print; use logging inside functions",
    ),
    "torch": Rule(
        wants="an import that does not change torch",
        judge=_leaves_torch,
        fix="assign to nothing in torch and call no setter or seed while the module loads; wrap or subclass instead",
    ),
    "torch_free": Rule(
        wants="arch modules that do not import torch, so that lists are fast",
        judge=_torch_free,
        fix="put archs into a module that imports only resnetctl.spec, and keep the package's __init__.py empty",
    ),
}
