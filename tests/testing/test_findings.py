"""Applying a rule always returns a finding."""

import random
import warnings
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from resnetctl.errors import ConfigError
from resnetctl.testing.findings import Broken, Finding, Rule, Skipped, expect, judge, judge_all, judge_together, notes


def rule(function: object) -> Rule:
    return Rule(wants="w", judge=function, fix="do this")  # type: ignore[arg-type]


def outcome(function: object) -> Finding:
    return judge("block b", "r", rule=rule(function), target=3)


def test_the_finding_of_a_rule_that_holds_has_the_value() -> None:
    finding = outcome(lambda value: f"{value} shapes")
    assert finding == Finding(subject="block b", rule="r", status="ok", seen="3 shapes")
    assert (finding.ok, str(finding)) == (True, "block b: r: 3 shapes")


def test_the_finding_of_a_failed_rule_has_the_value_and_the_fix() -> None:
    def fails(value: int) -> str:
        expect(value == 4, f"it is {value}")
        return ""

    finding = outcome(fails)
    assert (finding.status, finding.seen, finding.fix, finding.ok) == ("failed", "it is 3", "do this", False)
    assert str(finding) == "block b: r: it is 3. Fix: do this"


def test_a_text_that_ends_with_a_full_stop_gets_no_second_one() -> None:
    def raises(value: int) -> str:
        raise Broken("set check=False.", place="b.py:7")

    assert str(outcome(raises)) == "block b: r: set check=False (at b.py:7). Fix: do this"


def test_exceptions_of_the_object_become_findings() -> None:
    def crash(value: int) -> str:
        raise SystemExit("gone\nand more")

    assert outcome(lambda value: value.missing).seen.startswith("AttributeError: ")
    assert outcome(crash).seen == "SystemExit: gone"


def test_a_rule_that_cannot_be_judged_is_skipped_not_failed() -> None:
    def skip(value: int) -> str:
        raise Skipped("no data here")

    finding = outcome(skip)
    assert (finding.status, finding.ok, finding.fix) == ("skipped", True, "")


def test_all_rules_of_a_table_are_applied_in_order() -> None:
    def broken(value: int) -> str:
        raise Broken("x")

    findings = judge_all("s", {"b": rule(broken), "a": rule(str)}, target=3)
    assert [(one.rule, one.ok) for one in findings] == [("b", False), ("a", True)]


def test_rules_are_deterministic_and_restore_all_random_state() -> None:
    def change_state(value: int) -> str:
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(1)
        warnings.warn("noise", stacklevel=1)
        return f"{torch.rand(1).item()} {random.random()}"

    state, threads = torch.get_rng_state(), torch.get_num_threads()
    random.seed(5)
    before = random.getstate()
    assert outcome(change_state).seen == outcome(change_state).seen
    assert torch.equal(state, torch.get_rng_state())
    assert (random.getstate(), torch.get_num_threads(), torch.get_default_dtype()) == (before, threads, torch.float32)


def test_a_rule_that_raises_at_the_line_of_an_earlier_one_is_skipped() -> None:
    def forward(value: int) -> str:
        raise ValueError("sizes differ")

    table = {"gradients": rule(forward), "input": rule(lambda value: forward(value)), "other": rule(str)}
    first, again, other = judge_all("block b", table, target=3)
    line = forward.__code__.co_firstlineno + 1
    assert str(first) == f"block b: gradients: ValueError: sizes differ (at test_findings.py:{line}). Fix: do this"
    assert (again.status, again.seen, again.fix) == ("skipped", "it raises the same error as in rule gradients", "")
    assert (other.status, other.place) == ("ok", "")


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (NameError("name 'x' is not defined"), "correct this line: it fails before the rule can be judged"),
        (AttributeError("no such attribute"), "correct this line: it fails before the rule can be judged"),
        (RuntimeError("The size of tensor a (8) must match the size of tensor b (6)"), "do this"),
        (ZeroDivisionError("division by zero"), "do this"),
    ],
)
def test_the_advice_of_a_rule_is_given_only_for_what_the_rule_is_about(error: Exception, fix: str) -> None:
    def forward(value: int) -> str:
        raise error

    assert outcome(forward).fix == fix


def test_a_refusal_of_resnetctl_is_told_once_with_its_problems_and_hint() -> None:
    def build(value: int) -> str:
        raise ConfigError("it cannot be built", problems=["'bais' is not an argument"], hint="arguments: bias")

    first, again = judge_all("arch a", {"builds": rule(build), "params": rule(build)}, target=3)
    refusal = "ConfigError: it cannot be built; 'bais' is not an argument"
    assert (first.status, first.seen, first.fix) == ("failed", refusal, "arguments: bias; do this")
    assert (again.status, again.seen) == ("skipped", "it raises the same error as in rule builds")


def test_notes_name_what_can_be_pruned_and_why_rules_were_skipped() -> None:
    def finding(name: str, status: Any = "ok", seen: str = "x") -> Finding:
        return Finding(subject="block b", rule=name, status=status, seen=seen)

    skipped = [finding(f"r{number}", "skipped", "not judged, because shapes fails") for number in range(6)]
    some = [finding("shapes"), finding("pruning", seen="channels of conv1"), finding("onnx", "skipped", "no onnx here")]
    assert notes([*some, *skipped]) == [
        "block b: pruning: channels of conv1",
        "block b: skipped onnx: no onnx here",
        "block b: skipped r0, r1, r2, r3 and 2 more: not judged, because shapes fails",
    ]
    assert notes([finding("pruning", "failed")]) == []


def test_after_a_failed_essential_rule_later_rules_are_skipped() -> None:
    def broken(value: int) -> str:
        raise Broken("x")

    table = {"first": rule(broken), "signature": rule(broken), "a": rule(broken), "b": rule(str)}
    findings = judge_all("s", table, target=3)
    assert [one.status for one in findings] == ["failed", "failed", "skipped", "skipped"]
    assert {one.seen for one in findings[2:]} == {"not judged, because signature fails"}


def test_the_place_of_an_error_is_in_the_objects_code_not_in_a_library() -> None:
    finding = outcome(lambda value: torch.empty(2).view(value))
    assert finding.place.startswith("test_findings.py:")
    assert outcome(random.choice).place == ""


def test_a_failed_rule_does_not_change_the_others() -> None:
    def broken(value: int) -> str:
        raise Broken("x")

    assert [one.status for one in judge_all("s", {"a": rule(broken), "b": rule(broken)}, target=3)] == ["failed"] * 2


def together(*values: str, error: BaseException | None = None) -> Rule:
    def judge_them(targets: Sequence[Any]) -> Sequence[str]:
        if error is not None:
            raise error
        return values

    return Rule(wants="w", judge=str, fix="f", together=judge_them)


def test_rules_that_judge_several_give_each_its_value() -> None:
    rules = {"fast": together("a", "b"), "slow": rule(str)}
    assert judge_together(rules, [1, 2]) == [{"fast": "a"}, {"fast": "b"}]
    assert judge_together(rules, [1]) == [{}]
    assert judge_together(rules, []) == []


@pytest.mark.parametrize("error", [Broken("x"), ValueError("x"), SystemExit(3)])
def test_a_rule_that_fails_for_several_blames_none_of_them(error: BaseException) -> None:
    rules = {"broken": together(error=error), "fast": together("a", "b")}
    assert judge_together(rules, [1, 2]) == [{"fast": "a"}, {"fast": "b"}]


def test_a_signal_is_no_finding() -> None:
    def stop(value: int) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outcome(stop)


def test_what_is_known_to_hold_is_not_judged_again() -> None:
    asked: list[int] = []
    table = {"a": rule(lambda value: str(asked.append(value))), "b": rule(str)}
    findings = judge_all("s", table, target=3, seen={"a": "12 shapes"})
    assert [(one.rule, one.status, one.seen) for one in findings] == [("a", "ok", "12 shapes"), ("b", "ok", "3")]
    assert asked == []


def test_an_error_without_words_is_named_by_its_type() -> None:
    def silent(value: int) -> str:
        raise ValueError

    assert outcome(silent).seen == "ValueError: "


def test_each_rule_starts_from_the_same_seed_and_silence() -> None:
    def noisy(value: int) -> str:
        warnings.warn("noise", stacklevel=1)
        return f"{torch.rand(1).item()} {random.random()}"

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        findings = judge_all("s", {"a": rule(noisy), "b": rule(noisy)}, target=3)
    assert findings[0].status == "ok"
    assert findings[0].seen == findings[1].seen


def test_state_is_restored_after_a_rule_that_fails() -> None:
    def breaks(value: int) -> str:
        torch.set_default_dtype(torch.float64)
        raise Broken("x")

    assert not outcome(breaks).ok
    assert torch.get_default_dtype() == torch.float32
