"""A rule's outcome is a finding, whatever happens."""

import random
import warnings

import torch

from resnetctl.testing.findings import Broken, Finding, Rule, Skipped, expect, judge, judge_all


def rule(function: object) -> Rule:
    return Rule(wants="w", judge=function, fix="do this")  # type: ignore[arg-type]


def outcome(function: object) -> Finding:
    return judge("block b", "r", rule=rule(function), thing=3)


def test_a_rule_that_holds_reports_the_value() -> None:
    found = outcome(lambda thing: f"{thing} shapes")
    assert found == Finding(subject="block b", rule="r", status="ok", seen="3 shapes")
    assert (found.ok, str(found)) == (True, "block b: r: 3 shapes")


def test_a_failed_rule_reports_the_value_and_the_fix() -> None:
    def fails(thing: int) -> str:
        expect(thing == 4, f"it is {thing}")
        return ""

    found = outcome(fails)
    assert (found.status, found.seen, found.fix, found.ok) == ("failed", "it is 3", "do this", False)
    assert str(found) == "block b: r: it is 3. Fix: do this"


def test_errors_of_the_object_are_findings() -> None:
    def crash(thing: int) -> str:
        raise SystemExit("gone\nand more")

    assert outcome(lambda thing: thing.missing).seen.startswith("AttributeError: ")
    assert outcome(crash).seen == "SystemExit: gone"


def test_a_rule_that_cannot_be_judged_is_skipped_not_failed() -> None:
    def skip(thing: int) -> str:
        raise Skipped("no data here")

    found = outcome(skip)
    assert (found.status, found.ok, found.fix) == ("skipped", True, "")


def test_a_table_is_applied_whole_and_in_order() -> None:
    def broken(thing: int) -> str:
        raise Broken("x")

    found = judge_all("s", {"b": rule(broken), "a": rule(str)}, thing=3)
    assert [(one.rule, one.ok) for one in found] == [("b", False), ("a", True)]


def test_rules_are_deterministic_and_restore_all_random_state() -> None:
    def meddle(thing: int) -> str:
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(1)
        warnings.warn("noise", stacklevel=1)
        return f"{torch.rand(1).item()} {random.random()}"

    state, threads = torch.get_rng_state(), torch.get_num_threads()
    random.seed(5)
    before = random.getstate()
    assert outcome(meddle).seen == outcome(meddle).seen
    assert torch.equal(state, torch.get_rng_state())
    assert (random.getstate(), torch.get_num_threads(), torch.get_default_dtype()) == (before, threads, torch.float32)


def test_a_line_that_raises_is_reported_once_and_the_rules_that_meet_it_again_are_skipped() -> None:
    def forward(thing: int) -> str:
        raise ValueError("sizes differ")

    table = {"gradients": rule(forward), "input": rule(lambda thing: forward(thing)), "other": rule(str)}
    shapes, spoilt, other = judge_all("block b", table, thing=3)
    line = forward.__code__.co_firstlineno + 1
    assert str(shapes) == f"block b: gradients: ValueError: sizes differ (at test_findings.py:{line}). Fix: do this"
    assert (spoilt.status, spoilt.seen, spoilt.fix) == ("skipped", "it raises, as under gradients", "")
    assert (other.status, other.place) == ("ok", "")


def test_after_a_failed_essential_rule_the_rest_is_skipped() -> None:
    def broken(thing: int) -> str:
        raise Broken("x")

    table = {"first": rule(broken), "signature": rule(broken), "a": rule(broken), "b": rule(str)}
    found = judge_all("s", table, thing=3)
    assert [one.status for one in found] == ["failed", "failed", "skipped", "skipped"]
    assert {one.seen for one in found[2:]} == {"judged once signature holds"}


def test_the_place_of_an_error_is_never_in_a_library() -> None:
    found = outcome(lambda thing: torch.empty(2).view(thing))
    assert found.place.startswith("test_findings.py:")
    assert outcome(random.choice).place == ""


def test_a_failed_rule_does_not_change_the_others() -> None:
    def broken(thing: int) -> str:
        raise Broken("x")

    assert [one.status for one in judge_all("s", {"a": rule(broken), "b": rule(broken)}, thing=3)] == ["failed"] * 2
