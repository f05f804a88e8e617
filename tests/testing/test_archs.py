"""Broken archs, each caught by the rule that is named for it."""

from typing import Any

import pytest

from resnetctl import registry
from resnetctl.models.blocks import BasicBlock
from resnetctl.spec import Arch
from resnetctl.testing import archs
from resnetctl.testing.findings import judge, judge_all


def arch(**changes: Any) -> Arch:
    values: dict[str, Any] = {
        "name": "net", "block": "basic", "depths": (1, 1), "widths": (8, 16), "summary": "two stages",
    }  # fmt: skip
    return Arch(**(values | changes))


def test_sound_archs_break_no_rule() -> None:
    for thing in (arch(), registry.get("arch", "resnet20"), registry.get("arch", "resnet50")):
        assert [str(found) for found in judge_all("a", archs.RULES, thing=thing) if not found.ok] == []


@pytest.mark.parametrize(
    ("thing", "rule", "seen"),
    [
        ("resnet20", "data", "it is a str"),
        (arch(block_args={"widths": [1, 2]}), "data", "block_args widths is not a bool"),
        (arch(name="two words"), "names", "the name is 'two words'"),
        (arch(summary=" "), "names", "the summary is empty"),
        (arch(block="basik"), "block", "no block is called 'basik'"),
        (arch(block_args={"reduction": 4}), "builds", "cannot be built"),
        (arch(params=9_999), "params", "9,999 declared"),
    ],
)
def test_a_broken_arch_is_caught_by_the_named_rule(thing: Any, rule: str, seen: str) -> None:
    found = judge("a", rule, rule=archs.RULES[rule], thing=thing)
    assert not found.ok
    assert seen in found.seen


def test_a_net_that_gives_no_logits_is_caught() -> None:
    class Halves(BasicBlock):
        def forward(self, images: Any) -> Any:
            return super().forward(images)[:1]

    with registry.overlay("block", halves=Halves):
        found = judge("a", "builds", rule=archs.RULES["builds"], thing=arch(block="halves"))
    assert found.seen == "2 images of 32 px give (1, 10), not (2, 10)"


def test_params_are_counted_even_where_none_are_declared() -> None:
    assert judge("a", "params", rule=archs.RULES["params"], thing=arch()).seen.endswith("(none declared)")
