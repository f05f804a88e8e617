"""The packaged recipes break no rule; each broken one breaks the rule of its case."""

from collections.abc import Mapping
from typing import Any

import pytest

from resnetctl.config.layers import from_recipe, nest, packaged_recipes
from resnetctl.testing import recipes
from resnetctl.testing.findings import judge_all


def failed(recipe: Mapping[str, Any]) -> set[str]:
    return {finding.rule for finding in judge_all("recipe", recipes.RULES, target=recipe) if not finding.ok}


@pytest.mark.parametrize("name", [name for name in packaged_recipes() if name != "finetune"])
def test_the_packaged_recipes_break_no_rule(name: str) -> None:
    assert failed(nest(from_recipe(name).values)) == set()


@pytest.mark.parametrize(
    ("recipe", "rule"),
    [
        ({}, "keys"),
        ({"epoch": 8}, "keys"),
        ({"lr": -1.0}, "keys"),
        ({"optim": {"name": "no-such"}}, "names"),
        ({"epochs": 8, "data": "digits"}, "scope"),
    ],
)
def test_each_broken_recipe_breaks_its_rule(recipe: Mapping[str, Any], rule: str) -> None:
    assert failed(recipe) == {rule}
