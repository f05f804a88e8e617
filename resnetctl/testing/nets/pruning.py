"""The rule of blocks whose inner channels can be removed."""

from typing import Any

from resnetctl.compress.groups import TOLERANCE, declared, gap, groups
from resnetctl.testing.blocks import images, make
from resnetctl.testing.findings import Rule, expect

NOTHING = "no inner channel is proved prunable, so `compress` keeps all; this is no fault"


def pruning(block: Any) -> str:
    """A copy without some inner channels computes what the block computes when these channels are zero."""
    proved: set[str] = set()
    for in_channels, stride in ((32 * block.expansion, 1), (16, 2)):
        unit = make(block, in_channels, stride=stride)
        own = groups(unit, in_channels)
        wrong = {chain[0] for chain in declared(unit)} - {group.source for group in own}
        expect(not wrong, f"the channels of {', '.join(sorted(wrong))}, named in `prunable`, are read elsewhere, too")
        for group in own:
            apart = gap(unit, group, images=images(in_channels))
            expect(apart <= TOLERANCE, f"without channels of {group.source} the output differs by {apart:.1e}")
        proved |= {group.source for group in own}
    return f"channels of {', '.join(sorted(proved))}" if proved else NOTHING


RULES = {
    "pruning": Rule(
        wants="a copy without inner channels that equals the block with these channels at zero",
        judge=pruning,
        fix="name in `prunable` only chains of layers that alone read the channels of the first one, or remove it",
    ),
}
