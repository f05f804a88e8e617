"""Entries of the registry against the rules of their kind.

An entry is imported in another process first. One that fails there, or changes torch, is not judged further, so it
cannot spoil the check of the others. The rest is judged in worker processes, one for each core: a rule that ends its
process is one more finding.
"""

import contextlib
import json
import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from resnetctl import registry
from resnetctl.errors import UsageError, WorkFailed, suggest
from resnetctl.facts import Progress
from resnetctl.registry import Entry, Kind
from resnetctl.registry.probe import Probe, probe
from resnetctl.system.machine import cores_granted
from resnetctl.system.processes import Frame, Workers
from resnetctl.testing.findings import Finding, Rule, expect, judge_all
from resnetctl.testing.findings import judge as judge_one

WORKERS = 4  # a process each, of half a gigabyte
ENTRY_SECONDS, RULE_SECONDS = 180.0, 90.0  # after which one is said to hang; a block's rules take some five together
DEAREST_FIRST = ("block", "arch", "policy", "dataset")  # so that the cores end together


def rules(kind: Kind) -> Mapping[str, Rule]:
    """The rules of a kind by name, without those of importing."""
    from resnetctl.testing import archs, blocks, datasets, networks, policies

    tables: dict[Kind, Mapping[str, Rule]] = {
        "arch": archs.RULES,
        "block": {**blocks.RULES, **networks.RULES},
        "policy": policies.RULES,
        "dataset": datasets.RULES,
    }
    return tables[kind]


def check_object(kind: Kind, thing: Any, *, subject: str = "", source: Path | None = None) -> list[Finding]:
    """Every rule of a kind on one object. `source` is a tester's own copy of a dataset's images."""
    title = subject or f"{kind} {getattr(thing, 'name', None) or getattr(thing, '__name__', type(thing).__name__)}"
    with _prepared(kind, thing, source=source) as ready:
        return judge_all(title, rules(kind), thing=ready)


def check_entries(entries: Sequence[Entry]) -> Generator[Progress, None, list[Finding]]:
    """Every rule on every entry, in other processes. Tells how far it is; gives the findings, in the entries' order."""
    yield _progress(0, entries)
    probes = probe([entry for entry in entries if entry.status in ("available", "clash")])
    findings = {entry: import_findings(entry, probes.get(entry)) for entry in entries}
    sound = [entry for entry in entries if all(one.ok for one in findings[entry] if one.rule in ESSENTIAL)]
    done = len(entries) - len(sound)
    for entry, found in _spread(sorted(sound, key=lambda entry: DEAREST_FIRST.index(entry.kind))):
        findings[entry] += found
        done += 1
        yield _progress(done, entries)
    return [one for entry in entries for one in findings[entry]]


def answer(frame: Frame) -> Frame:
    """What a worker does: rules by name on one entry, imported here; JSON to JSON."""
    values, names = json.loads(frame)
    entry = Entry(**values)
    table = rules(entry.kind)
    with _prepared(entry.kind, _thing(entry)) as ready:
        found = judge_all(title(entry), {name: table[name] for name in names or table}, thing=ready)
    return json.dumps([vars(one) for one in found])


def select(target: str | None) -> list[Entry]:
    """Entries of a distribution, of a name, of `dist:name`; all of them for `None`.

    Raises:
        UsageError: there is neither such a distribution nor such a name.
    """
    everything = [entry for kind in registry.GROUPS for entry in registry.entries(kind)]
    if target is None:
        return [entry for entry in everything if entry.status != "disabled"]
    wanted = {target, target.lower().replace("_", "-")}  # a distribution's name has many spellings
    chosen = [entry for entry in everything if wanted & {*_handles(entry)}]
    if not chosen:
        known = {handle for entry in everything for handle in _handles(entry)}
        raise UsageError(
            f"no plugin and no distribution with plugins is called '{target}'",
            hint=[suggest(target, known), "resnetctl plugins list"],
        )
    return chosen


def title(entry: Entry) -> str:
    """`block se_basic`; with its distribution where others have that name too."""
    owner = f"{entry.distribution}:" if entry.status == "clash" else ""
    return f"{entry.kind} {owner}{entry.name}"


def summary(findings: Iterable[Finding]) -> list[tuple[str, int, int, int]]:
    """(subject, rules, skipped, failed) for each subject, in order."""
    counts: dict[str, list[int]] = {}
    for one in findings:
        row = counts.setdefault(one.subject, [0, 0, 0])
        row[0] += 1
        row[1] += one.status == "skipped"
        row[2] += not one.ok
    return [(subject, *row) for subject, row in counts.items()]  # type: ignore[misc]


def import_findings(entry: Entry, found: Probe | None) -> list[Finding]:
    """The rules of importing, from what another process found; None where an entry cannot be imported at all."""
    table = {name: IMPORT_RULES[name] for name in _about_import(entry.kind)}
    if found is None or found.error:
        table = {"import": table["import"]} | ({"silent": table["silent"]} if found and found.printed else {})
    return judge_all(
        title(entry), table, thing=found or Probe(entry=entry, error=f"it is {entry.status}: {entry.reason}")
    )


def judge_entry(entry: Entry, name: str) -> Finding:
    """One rule on one entry; for a test function a rule. The imports of a distribution are probed once."""
    found = _probes(entry.distribution).get(entry)
    about_import = {one.rule: one for one in import_findings(entry, found)}
    if name in about_import:
        return about_import[name]
    if not all(one.ok for rule, one in about_import.items() if rule in ESSENTIAL):
        return Finding(subject=title(entry), rule=name, status="skipped", seen="it cannot be imported")
    with _prepared(entry.kind, _thing(entry)) as ready:
        return judge_one(title(entry), name, rule=rules(entry.kind)[name], thing=ready)


def rule_names(kind: Kind) -> list[str]:
    """Names of all rules of a kind, those of importing first."""
    return _about_import(kind) + list(rules(kind))


def _about_import(kind: Kind) -> list[str]:
    """Rules of importing: only archs must be torch-free, and a block is a class, which names nothing but itself."""
    kinds = {"torch_free": ("arch",), "called": ("arch", "policy", "dataset")}
    return [name for name in IMPORT_RULES if kind in kinds.get(name, (kind,))]


@cache
def _probes(distribution: str) -> dict[Entry, Probe]:
    return probe([entry for entry in select(distribution) if entry.status in ("available", "clash")])


def _spread(entries: Sequence[Entry]) -> Iterator[tuple[Entry, list[Finding]]]:
    """Judge entries in processes of their own. Where one ends over an entry, its rules are asked one by one."""
    from concurrent.futures import as_completed

    with Workers(min(cores_granted(), WORKERS, len(entries) or 1), serve=f"{__name__}:answer") as workers:
        waiting = {workers.ask(_request(entry), where=title(entry), limit=ENTRY_SECONDS): entry for entry in entries}
        for future in as_completed(waiting):
            entry = waiting[future]
            try:
                yield entry, _findings(future.result())
            except WorkFailed:
                yield entry, [*_one_by_one(workers, entry)]


def _one_by_one(workers: Workers, entry: Entry) -> Iterator[Finding]:
    """Each rule in a process that it may end. The first that does so spoils the others: these are skipped."""
    culprit = ""
    for name in rules(entry.kind):
        if culprit:
            yield Finding(subject=title(entry), rule=name, status="skipped", seen=f"judged once {culprit} holds")
            continue
        try:
            future = workers.ask(_request(entry, name), where=title(entry), limit=RULE_SECONDS)
            yield from _findings(future.result())
        except WorkFailed as error:
            culprit, fix = name, "find the call with `python -X faulthandler`: code may raise, but not end the process"
            if "takes more than" in error.message:
                fix = "every call of forward, build or read has to return: look for a loop that does not end"
            yield Finding(subject=title(entry), rule=name, status="failed", seen=error.message, fix=fix)


def _request(entry: Entry, *names: str) -> str:
    return json.dumps([vars(entry), names])


def _findings(text: str) -> list[Finding]:
    return [Finding(**values) for values in json.loads(text)]


def _progress(done: int, entries: Sequence[Entry]) -> Progress:
    return Progress(what="checking", done=done, total=len(entries), unit="plugins")


@contextlib.contextmanager
def _prepared(kind: Kind, thing: Any, *, source: Path | None = None) -> Iterator[Any]:
    """What the rules of a kind take: the object, and for a dataset a cache folder of its own."""
    if kind != "dataset":
        yield thing
        return
    from resnetctl.testing.datasets import Subject

    with tempfile.TemporaryDirectory() as folder:
        yield Subject(dataset=thing, cache=Path(folder), source=source)


def _thing(entry: Entry) -> Any:
    return registry.get(entry.kind, f"{entry.distribution}:{entry.name}")


def _handles(entry: Entry) -> Iterable[str]:
    return entry.name, entry.distribution, f"{entry.distribution}:{entry.name}"


def _imports(found: Probe) -> str:
    expect(not found.error, f"{found.error}; {found.mend}" if found.mend else found.error)
    return found.entry.value


def _silent(found: Probe) -> str:
    expect(not found.printed, f"it printed {found.printed!r}")
    return "nothing printed"


def _called(found: Probe) -> str:
    expect(found.called in ("", found.entry.name), f"the entry is {found.entry.name!r}, the object {found.called!r}")
    return found.entry.name


def _leaves_torch(found: Probe) -> str:
    expect(not found.patched, f"it changed {', '.join(found.patched[:5])}")
    return "torch as it was"


def _torch_free(found: Probe) -> str:
    expect(not found.loads_torch, f"importing {found.entry.value.partition(':')[0]} loads torch")
    return "torch-free"


ESSENTIAL = ("import", "torch")
IMPORT_RULES = {
    "import": Rule(
        wants="an object that can be imported in a process of its own",
        judge=_imports,
        fix="the entry point names MODULE:OBJECT as they are; the module does no work while it loads",
    ),
    "called": Rule(
        wants="an object that has the name of its entry",
        judge=_called,
        fix="give name= what pyproject.toml has on the left: runs, weights and stores show it",
    ),
    "silent": Rule(
        wants="nothing printed while the module loads",
        judge=_silent,
        fix="remove the print; use logging inside functions",
    ),
    "torch": Rule(
        wants="torch as it was",
        judge=_leaves_torch,
        fix="assign to nothing in torch and call no setter or seed while the module loads; wrap or subclass instead",
    ),
    "torch_free": Rule(
        wants="arch modules without torch: tables list at once",
        judge=_torch_free,
        fix="keep archs in a module that imports resnetctl.spec only, and the package's __init__.py empty",
    ),
}
