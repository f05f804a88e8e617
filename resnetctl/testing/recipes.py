"""The rules of a recipe: a table of config keys."""

from collections.abc import Mapping
from typing import Any

from resnetctl import registry
from resnetctl.config.layers import flatten, layer, resolve
from resnetctl.config.options import flags
from resnetctl.config.schema import TrainConfig
from resnetctl.errors import ConfigError
from resnetctl.testing.findings import Rule, expect

OTHERS = ("data", "seed", "device", "threads")  # keys that say what and where, not how


def keys(recipe: Mapping[str, Any]) -> str:
    """Its keys are those of `train`, with valid values."""
    flat = flatten(recipe)
    expect(bool(flat), "it has no key")
    try:
        resolve(TrainConfig, [layer(recipe, "the recipe")])
    except ConfigError as error:
        expect(False, "; ".join(map(str, error.problems)) or error.message)
    return f"{len(flat)} keys"


def names(recipe: Mapping[str, Any]) -> str:
    """Every name in it is registered."""
    flat = flatten(recipe)
    known = [flag for flag in flags(TrainConfig) if flag.key not in OTHERS]
    kinds = {flag.key: flag.complete for flag in known if flag.complete in registry.KINDS}
    named = {key: str(flat[key]) for key in kinds if flat.get(key)}
    for key, name in named.items():
        registry.find(kinds[key], name)
    return ", ".join(named.values()) or "it names nothing"


def scope(recipe: Mapping[str, Any]) -> str:
    """It leaves data, seed and machine to the user."""
    wrong = [key for key in OTHERS if key in flatten(recipe)]
    expect(not wrong, f"it sets {', '.join(wrong)}")
    return "says how, not what"


RULES = {
    "keys": Rule(
        wants="config keys of train with valid values",
        judge=keys,
        fix="`config show` lists the keys: name = {'epochs': 8, 'optim': {'name': 'sgd'}}",
    ),
    "names": Rule(
        wants="names that are registered",
        judge=names,
        fix="list the distributions that it needs in `dependencies` of pyproject.toml",
    ),
    "scope": Rule(
        wants="no key that says what to train on, or where",
        judge=scope,
        fix="remove data, seed, device and threads: the user chooses them",
    ),
}
