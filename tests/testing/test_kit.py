"""Entries are judged by the rules of their kind, in this process and in others."""

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Generator, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from support.distributions import BLOCK, install
from typer.testing import CliRunner

from resnetctl import registry
from resnetctl.cli.app import app
from resnetctl.errors import PluginError, UsageError, WorkFailed
from resnetctl.facts import Progress
from resnetctl.hints import Call
from resnetctl.registry import Entry, Kind
from resnetctl.registry.probe import Probe
from resnetctl.system.processes import Workers
from resnetctl.testing import check_arch, check_block, check_dataset, check_policy, conformance, kit
from resnetctl.testing.findings import Finding, Rule, judge_together
from resnetctl.testing.nets import networks


def finished(work: Generator[Progress, None, list[Finding]]) -> tuple[list[Progress], list[Finding]]:
    """Return the yielded progress and the returned findings."""
    progress = []
    while True:
        try:
            progress.append(next(work))
        except StopIteration as end:
            return progress, end.value


def entry(kind: Kind = "arch", name: str = "resnet20", distribution: str = "resnetctl") -> Entry:
    return Entry(kind=kind, name=name, value="some.module:net", distribution=distribution, version="1.2")


def spread(entries: list[Entry]) -> dict[Entry, list[Finding]]:
    """Return the findings of worker processes."""
    with kit._workers(entries) as workers:
        return {entry: found for group in kit._spread(entries, workers) for entry, found in group.items()}


@pytest.mark.parametrize(
    ("kind", "least"), [("arch", 5), ("block", 14), ("policy", 9), ("dataset", 7), ("exporter", 5)]
)
def test_every_rule_has_a_requirement_and_a_fix(kind: Kind, least: int) -> None:
    rules = kit.rules(kind)
    assert len(rules) >= least
    assert all(rule.wants and rule.fix for rule in rules.values())
    assert len(kit.all_rules(kind)) == 3 + (kind == "arch") + (kind != "block") + len(rules)  # no two of one name
    assert ("torch_free" in kit.all_rules(kind)) == (kind == "arch")
    assert ("called" in kit.all_rules(kind)) == (kind != "block")


def test_objects_without_a_distribution_can_be_checked() -> None:
    for check, value in (
        (check_arch, registry.get("arch", "resnet20")),
        (check_policy, registry.get("policy", "shift")),
        (check_dataset, registry.get("dataset", "digits")),
    ):
        findings = check(value)  # type: ignore[operator]
        assert findings
        assert all(one.ok for one in findings)
    assert next(one.rule for one in check_block(type("Empty", (), {})) if not one.ok) == "signature"


@pytest.mark.parametrize(
    ("changes", "error", "fix"),
    [
        (
            {"status": "broken", "reason": "this is the name of a built-in"},
            "it is broken",
            "give the entry another name",
        ),
        ({"status": "stale", "reason": "there is no module 'x'"}, "it is stale", "pip install --force-reinstall mine"),
        ({"status": "stale", "reason": "it requires resnetctl>=9"}, "it is stale", "pip install --upgrade mine"),
        ({}, "arch 'net' of mine 1.2 must be a resnetctl.spec.Arch, not int", "as `plugins new NAME --kind arch`"),
        ({}, "arch 'net' of mine 1.2 cannot be imported: KeyError: 3", "name an existing MODULE:OBJECT"),
        ({}, "importing it ended the process with exit code 0", "do no work while the module loads"),
    ],
)
def test_an_entry_that_cannot_be_used_gets_advice_that_fits(changes: dict[str, Any], error: str, fix: str) -> None:
    unusable = dataclasses.replace(entry(name="net", distribution="mine"), **changes)
    probed = None if changes else Probe(entry=unusable, error=error)
    (finding,) = kit.import_findings(unusable, probed)
    assert not finding.ok
    assert finding.seen.startswith(error)
    assert fix in finding.fix


@pytest.mark.parametrize("target", ["resnetctl", "RESNETCTL", "digits", "resnetctl:digits"])
def test_a_target_is_a_distribution_or_a_name(target: str) -> None:
    entries = kit.select(target)
    assert {one.distribution for one in entries} == {"resnetctl"}
    assert "digits" in {one.name for one in entries}


def test_an_unknown_target_suggests_a_similar_one() -> None:
    with pytest.raises(UsageError, match="no distribution with plugins") as caught:
        kit.select("resnet12002")
    assert caught.value.hint[0] == "did you mean 'resnet1202'?"


def test_a_path_that_does_not_exist_is_no_name() -> None:
    with pytest.raises(UsageError, match="no such folder") as caught:
        kit.select("./none")
    assert caught.value.where == "./none"


@pytest.mark.parametrize("target", ["./t17-late", "t17-late", "t17_late"])
def test_a_plugin_that_is_not_installed_yet_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t17-late").mkdir()
    (tmp_path / "t17-late" / "pyproject.toml").write_text('[project]\nname = "t17-late"\n')
    with pytest.raises(PluginError, match="the plugin t17-late is not installed") as caught:
        kit.select(target)
    assert caught.value.hint == ("pip install -e ./t17-late", Call("plugins check", ("t17-late",)))


def test_the_folder_of_an_installed_plugin_stands_for_its_name(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "ResNetCtl"\n')
    assert kit.select(str(tmp_path)) == kit.select("resnetctl")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "torch"\n')
    with pytest.raises(UsageError, match="torch is installed, and registers no plugin"):
        kit.select(str(tmp_path))
    (tmp_path / "pyproject.toml").unlink()
    with pytest.raises(UsageError, match="no pyproject"):
        kit.select(str(tmp_path))


def test_a_probe_becomes_findings() -> None:
    arch = entry()
    sound = kit.import_findings(arch, Probe(entry=arch))
    assert [(one.rule, one.ok) for one in sound] == [
        ("import", True), ("called", True), ("silent", True), ("torch", True), ("torch_free", True),
    ]  # fmt: skip
    heavy = kit.import_findings(
        arch, Probe(entry=arch, own_name="net", loads_torch=True, printed="hi", patched=("torch.cat",))
    )
    assert {one.rule: one.seen for one in heavy if not one.ok} == {
        "called": "the entry is 'resnet20', the object 'net'",
        "silent": "it printed 'hi'",
        "torch": "it changed torch.cat",
        "torch_free": "importing some.module loads torch",
    }
    gone = kit.import_findings(arch, None)
    assert [(one.rule, one.seen) for one in gone] == [("import", "it is available: ")]


def test_an_entry_that_changes_torch_is_not_imported_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    broken, patches, sound = entry(name="a"), entry(name="b"), entry(name="c")
    probes = {
        broken: Probe(entry=broken, error="it raises"),
        patches: Probe(entry=patches, patched=("torch.cat",)),
        sound: Probe(entry=sound, printed="hello"),
    }
    judged = []
    monkeypatch.setattr(kit, "probe", lambda entries: probes)
    monkeypatch.setattr(kit, "_spread", lambda entries, _: [{one: judged.append(one.name) or []} for one in entries])
    progress, findings = finished(kit.check_entries(list(probes)))
    assert judged == ["c"], "an entry that only prints is judged further"
    assert [(one.done, one.total) for one in progress] == [(0, 3), (3, 3)]
    assert {(one.subject, one.rule) for one in findings if not one.ok} == {
        ("arch a", "import"), ("arch b", "torch"), ("arch c", "silent"),
    }  # fmt: skip


def test_a_summary_counts_by_subject() -> None:
    def finding(subject: str, status: Any) -> Finding:
        return Finding(subject=subject, rule="r", status=status, seen="")

    findings = [finding("a", "ok"), finding("b", "failed"), finding("a", "skipped")]
    assert kit.summary(findings) == [("a", 2, 1, 0), ("b", 1, 0, 1)]


def test_the_slowest_kinds_start_first_and_findings_keep_their_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kinds: list[Kind] = ["arch", "policy", "block", "dataset", "block"]
    entries = [entry(kind, f"{kind}{place}") for place, kind in enumerate(kinds)]
    started: list[str] = []

    def spread(sorted_: list[Entry], workers: Workers) -> Iterator[dict[Entry, list[Finding]]]:
        started.extend(one.name for one in sorted_)
        yield from ({one: [Finding(subject=one.name, rule="r", status="ok", seen="")]} for one in reversed(sorted_))

    monkeypatch.setattr(kit, "probe", lambda entries: {one: Probe(entry=one) for one in entries})
    monkeypatch.setattr(kit, "_spread", spread)
    findings = finished(kit.check_entries(entries))[1]
    assert started == ["block2", "block4", "arch0", "policy1", "dataset3"]
    assert [one.subject for one in findings if one.rule == "r"] == [one.name for one in entries]


def test_entries_are_judged_in_worker_processes() -> None:
    entries = [*kit.select("resnetctl:shift"), *kit.select("resnetctl:none")]
    findings = spread(entries)
    assert findings.keys() == set(entries)
    assert {one.rule for one in findings[entries[0]]} == set(kit.rules("policy"))
    assert spread([]) == {}


def test_a_worker_without_entries_loads_the_rules_of_every_kind() -> None:
    assert json.loads(kit.answer(json.dumps([[], []]))) == [[*kit.rules(kind)] for kind in registry.KINDS]


def test_a_bad_block_does_not_spoil_the_finding_of_the_block_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    basic = registry.get("block", "basic")

    class Bad(basic):  # type: ignore[misc, valid-type]
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.linalg.lu(super().forward(images))[2]  # ONNX has no such operator

    table = {"onnx": networks.RULES["onnx"]}
    monkeypatch.setattr(kit, "rules", lambda kind: table)
    monkeypatch.setattr(kit, "_object", lambda entry: Bad if entry.name == "bad" else basic)
    frame = json.dumps([[vars(entry("block", "bad")), vars(entry("block", "basic"))], []])
    (bad,), (good,) = json.loads(kit.answer(frame))
    assert (bad["status"], good["status"]) == ("failed", "ok")


@pytest.mark.certify
def test_blocks_judged_together_have_the_values_that_they_have_alone() -> None:
    basic = registry.get("block", "basic")
    together = judge_together({"onnx": networks.RULES["onnx"]}, [basic, basic])
    assert {values["onnx"] for values in together} == {networks.exports(basic)}


def test_blocks_are_judged_in_groups_that_keep_every_worker_busy() -> None:
    def sizes(blocks: int, workers: int) -> list[int]:
        entries = [entry("block", f"b{place}") for place in range(blocks)] + [
            entry("policy", "p"),
            entry("policy", "q"),
        ]
        return [len(group) for group in kit._groups(entries, workers)]

    assert sizes(15, 2) == [8, 7, 1, 1]
    assert sizes(17, 2) == [8, 8, 1, 1, 1]
    assert sizes(2, 2) == [1, 1, 1, 1]
    assert sizes(3, 2) == [2, 1, 1, 1]


def test_a_rule_that_ends_its_process_is_named_and_other_rules_are_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aborts = "\n    def forward(self, images):\n        import os\n        os.abort()\n"
    install(tmp_path / "site", "ends", {"block": {"ends": "ends:Net"}}, code=BLOCK.replace("\n    pass\n", aborts))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    registry.refresh()
    try:
        findings = spread(kit.select("ends") + kit.select("resnetctl:none"))
    finally:
        registry.refresh()
    ends, none = sorted(findings.values(), key=lambda one: one[0].subject)
    status = {one.rule: one for one in ends}
    assert status.keys() == set(kit.rules("block"))
    assert (status["signature"].status, status["shapes"].status) == ("ok", "failed")
    assert str(status["shapes"]).startswith("block ends: shapes: a worker process ended with SIGABRT. Fix: find the")
    assert all(one.ok for one in none), "other entries are judged as usual"


def test_conformance_is_a_whole_test_module(tmp_path: Path) -> None:
    path = tmp_path / "test_it.py"
    path.write_text(
        "import resnetctl.testing.kit as kit\n"
        "select = kit.select\n"
        "kit.select = lambda target: [e for e in select(target) if e.name in ('resnet20', 'shift', 'mnist')]\n"
        "from resnetctl.testing import conformance\n"
        "test_conformance = conformance('resnetctl')\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=", str(path), "-rs"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout
    assert "33 passed, 5 skipped" in done.stdout
    assert "its images are not on this machine" in done.stdout


def test_a_failed_conformance_test_shows_rule_value_and_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(value: object) -> str:
        raise ValueError("seven")

    monkeypatch.setattr(kit, "_probes", lambda distribution: {one: Probe(entry=one) for one in kit.select("shift")})
    monkeypatch.setattr(kit, "rules", lambda kind: {"shapes": Rule(wants="w", judge=never, fix="do this")})
    test = conformance("shift")
    with pytest.raises(AssertionError, match=r"policy shift: shapes: ValueError: seven \(at test_kit.py:\d+\)\. Fix"):
        test(kit.select("shift")[0], "shapes")


def test_conformance_of_a_distribution_that_is_not_installed_is_an_error() -> None:
    with pytest.raises(UsageError, match="'no-such-dist'"):
        conformance("no-such-dist")


def test_a_rule_that_hangs_is_named_and_later_rules_are_skipped() -> None:
    asked: list[str] = []

    class Hanging:
        def ask(self, request: str, *, where: str, limit: float) -> Future[str]:
            (name,) = json.loads(request)[1]
            asked.append(name)
            future: Future[str] = Future()
            if name == "shapes":
                future.set_exception(WorkFailed(f"it takes more than {limit:.0f} s", where=where))
            else:
                future.set_result(json.dumps([[vars(Finding(subject="b", rule=name, status="ok", seen="x"))]]))
            return future

    findings = list(kit._one_by_one(cast(Workers, Hanging()), entry(kind="block")))
    assert asked == ["signature", "shapes"]
    assert [one.rule for one in findings] == list(kit.rules("block"))
    assert findings[1].seen == "it takes more than 90 s"
    assert "a loop that does not end" in findings[1].fix
    assert {one.status for one in findings[2:]} == {"skipped"}


@pytest.mark.parametrize("name", ["basic", "sgd", "constant", "resnet20"])
def test_the_page_of_rules_lists_those_that_plugins_check_names(name: str) -> None:
    result = CliRunner().invoke(app, ["plugins", "check", f"resnetctl:{name}", "--json"])
    findings = json.loads(result.stdout)["findings"]
    (kind,) = {one["subject"].split()[0] for one in findings}
    text = (Path(__file__).parents[2] / "docs" / "reference" / "conformance.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {registry.KINDS[kind].plural.capitalize()}\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` ", section, re.MULTILINE) == list(kit.all_rules(kind))
    assert sorted(re.findall(r"^\| `(\w+)` ", section, re.MULTILINE)) == sorted(one["rule"] for one in findings)
