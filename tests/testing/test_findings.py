"""A rule's outcome is a finding, whatever happens."""

import random
import warnings

import torch

from resnetctl.testing.findings import Broken, Finding, Rule, Skipped, expect, judge, judge_all


def rule(function: object) -> Rule:
    return Rule(wants="w", judge=function, fix="do this")  # type: ignore[arg-type]


def outcome(function: object) -> Finding:
    return judge("block b", "r", rule=rule(function), thing=3)


def test_a_rule_that_holds_tells_what_it_saw() -> None:
    found = outcome(lambda thing: f"{thing} shapes")
    assert found == Finding(subject="block b", rule="r", status="ok", seen="3 shapes")
    assert (found.ok, str(found)) == (True, "block b: r: 3 shapes")


def test_a_rule_that_fails_tells_the_value_and_the_fix() -> None:
    def fails(thing: int) -> str:
        expect(thing == 4, f"it is {thing}")
        return ""

    found = outcome(fails)
    assert (found.status, found.seen, found.fix, found.ok) == ("failed", "it is 3", "do this", False)
    assert str(found) == "block b: r: it is 3. Fix: do this"


def test_the_objects_own_errors_are_findings() -> None:
    def crash(thing: int) -> str:
        raise SystemExit("gone\nand more")

    assert outcome(lambda thing: thing.missing).seen.startswith("AttributeError: ")
    assert outcome(crash).seen == "SystemExit: gone"


def test_what_cannot_be_judged_is_skipped_and_not_wrong() -> None:
    def skip(thing: int) -> str:
        raise Skipped("no data here")

    found = outcome(skip)
    assert (found.status, found.ok, found.fix) == ("skipped", True, "")


def test_a_table_is_applied_whole_and_in_order() -> None:
    def broken(thing: int) -> str:
        raise Broken("x")

    found = judge_all("s", {"b": rule(broken), "a": rule(str)}, thing=3)
    assert [(one.rule, one.ok) for one in found] == [("b", False), ("a", True)]


def test_rules_draw_the_same_always_and_leave_the_world_alone() -> None:
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
