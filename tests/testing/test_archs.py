"""Sound archs break no rule; each broken arch breaks the rule of its case."""

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
    for value in (arch(), registry.get("arch", "resnet20"), registry.get("arch", "resnet50")):
        assert [str(finding) for finding in judge_all("a", archs.RULES, target=value) if not finding.ok] == []


@pytest.mark.parametrize(
    ("value", "rule", "seen"),
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
def test_a_broken_arch_breaks_its_rule(value: Any, rule: str, seen: str) -> None:
    finding = judge("a", rule, rule=archs.RULES[rule], target=value)
    assert not finding.ok
    assert seen in finding.seen


def test_a_net_without_logits_for_every_image_is_caught() -> None:
    class Halves(BasicBlock):
        def forward(self, images: Any) -> Any:
            return super().forward(images)[:1]

    with registry.overlay("block", halves=Halves):
        finding = judge("a", "builds", rule=archs.RULES["builds"], target=arch(block="halves"))
    assert finding.seen == "2 images of 32 px give (1, 10), not (2, 10)"


def test_params_are_counted_even_if_none_are_declared() -> None:
    assert judge("a", "params", rule=archs.RULES["params"], target=arch()).seen.endswith("(none declared)")
