"""Layers of config values: merge flags, `--set`, files and recipes into one frozen config with an origin per value.

Precedence: flag > `--set` > `--config FILE` > `./resnetctl.toml` > recipe > default. A layer is flat: it maps dotted
keys to values and to origins. Layers are merged from the weakest to the strongest, then validated once.
"""

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from resnetctl import registry
from resnetctl.config.arguments import argument_key
from resnetctl.config.options import advice_on_toml, complaint, fields, is_known, key_inside, key_meant, not_a_number
from resnetctl.config.schema import FinetuneConfig
from resnetctl.errors import ConfigError, UsageError
from resnetctl.hints import Call, Setting, suggest
from resnetctl.system import storage
from resnetctl.system.settings import Settings

LOCAL_FILE = "resnetctl.toml"
MAX_CONFIG = 2**18  # bytes of a config file
MAX_DOTS = 64  # in one key
SHOWN = 20  # unknown keys in an error
OF_ARCH = "the arch sets the number and the width of its blocks"
COMMA = re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)  # such as 0,05
PART = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*'""")  # of a key in TOML, bare or quoted
KEY = rf"((?:{PART.pattern})(?:\s*\.\s*(?:{PART.pattern}))*)"
ITEM, TABLE, LEAF = (re.compile(form % KEY) for form in (r"\s*\[\[\s*%s\s*\]\]", r"\s*\[\s*%s\s*\]", r"\s*%s\s*="))
Config = TypeVar("Config", bound=BaseModel, covariant=True)
# a layer that sets the key on the left removes the keys on the right from weaker layers
SUPERSEDES = {
    "model.arch": ("model.block", "model.block_args", "model.stem", "model.activation", "model.norm"),
    "model.block": ("model.block_args",),
    "augment": ("augment_args",),
    "optim.name": ("optim.args",),
    "schedule.name": ("schedule.args",),
    "objective.name": ("objective.args",),
    "weights": ("weights_sha256",),
    "distill.teacher": ("distill.teacher_sha256",),
}
RIVALS = {"epochs": "steps", "steps": "epochs"}  # a layer that sets one key switches the other off


@dataclass(frozen=True)
class Layer:
    """Dotted keys with values, and where each value came from."""

    values: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Resolved(Generic[Config]):
    """A validated config and the origin of every leaf key."""

    config: Config
    origins: Mapping[str, str]


def layer(values: Mapping[str, Any], origin: str) -> Layer:
    """Return a layer in which all values have the same origin."""
    flat = dict(flatten(values))
    return Layer(flat, dict.fromkeys(flat, origin))


def from_file(path: Path) -> Layer:
    """Return the layer of a TOML file; origins are `file:line`. Raises `ConfigError` when it cannot be read."""
    try:
        text = storage.read_capped(path, MAX_CONFIG, error=ConfigError).decode("utf-8")
    except ConfigError as error:
        is_recipe = str(path) in recipes()
        hint = Setting("recipe", str(path)) if is_recipe else Call("config show", note="lists the keys")
        reason = getattr(error.__cause__, "strerror", error.message)
        raise ConfigError(f"cannot read the config: {reason}", where=str(path), hint=hint) from None
    except UnicodeDecodeError:
        raise ConfigError("the config is not UTF-8 text", where=str(path)) from None
    return _parse(text, str(path))


def from_recipe(name: str) -> Layer:
    """Return the layer of a packaged recipe, or of a plugin's.

    Raises:
        UsageError: no recipe has this name.
        PluginError: the plugin of the recipe is broken, or not installed.
    """
    if name not in packaged_recipes():
        if name not in registry.names("recipe"):
            registry.require_installed(name, "recipe")
            raise UsageError(f"no recipe is called '{name}'", hint=suggest(name, recipes()))
        return layer(registry.get("recipe", name), f"recipe {name}")
    text = (resources.files("resnetctl") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    return layer(_parse(text, name).values, f"recipe {name}")


def from_environment(settings: Settings) -> Layer:
    """Return the layer of device and threads from the environment variables."""
    values = {"device": settings.device, "threads": settings.threads}
    fixed = {key: value for key, value in values.items() if value not in ("auto", 0)}
    return Layer(fixed, {key: f"env RESNETCTL_{key.upper()}" for key in fixed})


def recipes() -> list[str]:
    """Return the names of all recipes, those of plugins last."""
    return [*packaged_recipes(), *registry.names("recipe")]


def packaged_recipes() -> list[str]:
    """Return the names of the packaged recipes."""
    folder = resources.files("resnetctl") / "recipes"
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def together(*layers: Layer) -> Layer:
    """Return the union of layers of equal rank: a later value wins, and no layer removes keys of another."""
    return Layer(
        {key: value for part in layers for key, value in part.values.items()},
        {key: origin for part in layers for key, origin in part.origins.items()},
    )


def without(layer: Layer, keys: Collection[str]) -> Layer:
    """Return the layer without some of its keys."""
    return Layer(
        {key: value for key, value in layer.values.items() if key not in keys},
        {key: origin for key, origin in layer.origins.items() if key not in keys},
    )


def merge(layers: Sequence[Layer]) -> Layer:
    """Return `layers`, weakest first, merged into one layer."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for top in layers:
        void = {old for key in top.values if top.values[key] for old in SUPERSEDES.get(key, ())}
        for key in [key for key in values if any(key == old or key.startswith(old + ".") for old in void)]:
            del values[key], origins[key]
        for key, rival in RIVALS.items():
            if top.values.get(key) and rival not in top.values:
                values[rival], origins[rival] = 0, top.origins[key]
        values.update(top.values)
        origins.update(top.origins)
    return Layer(values, origins)


def resolve(model: type[Config], layers: Sequence[Layer]) -> Resolved[Config]:
    """Merge `layers`, weakest first, and validate the result. A key that no layer sets gets the model's default.

    Raises:
        ConfigError: keys or values are wrong; `problems` has a line for each, with its origin.
    """
    merged = merge(layers)
    kinds = {key: field.annotation for key, field in fields(model)}
    unknown = [key for key in merged.values if not is_known(key, kinds)]
    problems = [
        f"{short_key(key[:80])}: unknown key ({merged.origins[key]}){_advice(key[:80], merged, model=model)}"
        for key in unknown[:SHOWN]
    ]
    problems += [f"and {len(unknown) - SHOWN:,} more"] if len(unknown) > SHOWN else []
    no_numbers = {key: text for key, value in merged.values.items() if (text := not_a_number(value, kinds.get(key)))}
    problems += [f"{key}: {text} ({merged.origins[key]})" for key, text in no_numbers.items()]
    try:
        left_out = {*unknown, *no_numbers}
        config = model.model_validate(nest({key: merged.values[key] for key in merged.values if key not in left_out}))
    except ValidationError as error:
        problems += _problems(error, merged.origins)
    if problems:
        raise ConfigError(
            "the config has unknown keys" if unknown else "the config has wrong values",
            problems=problems,
            hint=[*_lists(unknown, merged, model=model), *_point_for_comma(merged)],
        )
    flat = flatten(config.model_dump())
    return Resolved(config=config, origins={key: merged.origins.get(key, "default") for key in flat})


def _advice(key: str, merged: Layer, *, model: type[BaseModel]) -> str:
    """Return what to write instead of an unknown key, to follow its origin."""
    if _is_of_arch(key):
        return f"; {OF_ARCH}"
    if any(key == name for name, _ in fields(FinetuneConfig)):
        return "; only `finetune` has it"
    inner = key_inside(key, model)
    meant = argument_key(key.rpartition(".")[2] if inner else key, merged.values) or inner or key_meant(key, model)
    return f"; did you mean '{short_key(meant)}'?" if meant else ""


def _lists(unknown: Sequence[str], merged: Layer, *, model: type[BaseModel]) -> Iterator[Call]:
    """Yield the verbs that list what can be written instead of unknown keys without a suggestion."""
    if any(map(_is_of_arch, unknown)):
        yield from (Call("plugins list", settings={"kind": "arch"}), Call("plugins show", ("ARCH",)))
    if any(not _advice(key[:80], merged, model=model) for key in unknown[:SHOWN]):
        yield Call("config show", note="lists the keys")


def _is_of_arch(key: str) -> bool:
    """Return whether an unknown key names a part of an arch, which no config sets: `model.depth`, `widths`."""
    name = key.removeprefix("model.")
    return (
        name != "block"
        and "." not in name
        and f"{name.removesuffix('s')}s" in ("blocks", "depths", "layers", "stages", "widths")
    )


def _point_for_comma(merged: Layer) -> list[Setting]:
    """Return each number that was written with a decimal comma, with a point."""
    commas = {key: text for key, text in merged.values.items() if isinstance(text, str) and COMMA.fullmatch(text)}
    return [Setting(key, text.replace(",", ".")) for key, text in commas.items()]


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested tables as dotted keys. Empty tables are dropped."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[full_key(prefix + key)] = value
    return flat


def full_key(key: str) -> str:
    """Return the key that a short form stands for: `augment.magnitude` is an argument of the policy."""
    return f"augment_args.{key.removeprefix('augment.')}" if key.startswith("augment.") else key


def short_key(key: str) -> str:
    """Return the key as people write it: `augment.magnitude`, which a file holds in the table `augment_args`."""
    return f"augment.{key.removeprefix('augment_args.')}" if key.startswith("augment_args.") else key


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted keys as nested tables. Raises `ConfigError` when one key is both a value and a table."""
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *tables, leaf = key.split(".")
        inner = nested
        for table in tables:
            inner = inner.setdefault(table, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"'{table}' is a table, not a value", where=key)
        if isinstance(inner.get(leaf), dict):
            raise ConfigError(f"'{leaf}' is a table, not a value", where=key)
        inner[leaf] = value
    return nested


def to_toml(config: BaseModel, header: str = "") -> str:
    """Return the whole config as TOML text, with `header` as a comment on top."""
    import tomlkit

    document = tomlkit.document()
    for line in header.splitlines():
        document.add(tomlkit.comment(line))
    tables: list[tuple[str, dict[str, Any]]] = []
    for key, value in config.model_dump(mode="json").items():
        if isinstance(value, dict):
            tables.append((key, value))
        else:
            document.add(key, value)
    for key, table in tables:
        document.add(key, tomlkit.item({name: inner for name, inner in table.items() if inner != {}}))
    return tomlkit.dumps(document)


def tables(text: str, name: str, *, what: str = "config") -> dict[str, Any]:
    """Return the tables of a TOML file. Raises `ConfigError`, which calls the file `what`."""
    for number, line in enumerate(text.splitlines(), start=1):
        if max(part.count(".") for part in line.split("=")) > MAX_DOTS:  # tomllib needs cubic time for such a key
            raise ConfigError(f"a key or a value has more than {MAX_DOTS} dots", where=f"{name}:{number}")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigError(f"the {what} is nested too deep", where=name) from None
    except ValueError as error:  # also for an integer of over 4,300 digits
        reason, hint = str(error).partition(";")[0], advice_on_toml(str(error), text)
        raise ConfigError(f"the {what} is not TOML: {reason}", where=name, hint=hint or ()) from None


def places(text: str, name: str) -> dict[str, str]:
    """Return `name:line` of each dotted key that has a line `key = value` of its own, and of each table.

    A key of the second table `[[items]]` is `items.1.key`.
    """
    lines: dict[str, str] = {}
    counts: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := ITEM.match(line):
            item = _dotted(header.group(1))
            counts[item] = counts.get(item, -1) + 1
            table = f"{item}.{counts[item]}."
            lines.setdefault(item, f"{name}:{number}")
            lines[table.removesuffix(".")] = f"{name}:{number}"
        elif header := TABLE.match(line):
            table = _dotted(header.group(1)) + "."
            lines[table.removesuffix(".")] = f"{name}:{number}"
        elif key := LEAF.match(line):
            lines[table + _dotted(key.group(1))] = f"{name}:{number}"
    return lines


def _dotted(key: str) -> str:
    """Return a key of TOML, of bare and quoted parts, as a dotted key."""
    return ".".join(part.strip("\"'") for part in PART.findall(key))


def placed(values: Mapping[str, Any], places: Mapping[str, str], *, otherwise: str) -> Layer:
    """Return the layer of values whose origin is the place of their key, or of its table, or else `otherwise`."""
    flat, lines = flatten(values), {full_key(key): place for key, place in places.items()}
    return Layer(flat, {key: nearest_place(key, lines) or otherwise for key in flat})


def nearest_place(key: str, places: Mapping[str, str]) -> str:
    """Return the place of a key, or else of the innermost table around it; "" for neither."""
    parts = key.split(".")
    return next((places[name] for end in range(len(parts), 0, -1) if (name := ".".join(parts[:end])) in places), "")


def _parse(text: str, name: str) -> Layer:
    return placed(tables(text, name), places(text, name), otherwise=name)


def _problems(error: ValidationError, origins: Mapping[str, str]) -> Iterator[str]:
    """Yield one line for each wrong key; the complaints of several union members are joined by "or"."""
    by_key: dict[str, list[ErrorDetails]] = {}
    for item in error.errors():
        by_key.setdefault(_key(item["loc"], origins), []).append(item)
    for key, items in by_key.items():
        message = " or ".join(dict.fromkeys(map(complaint, items))).replace(" or should be ", " or ")
        value = items[0]["input"]
        shown = "" if not key or isinstance(value, Mapping) else f", not {value!r}"
        inside = {origin: None for name, origin in origins.items() if key and name.startswith(f"{key}.")}
        origin = origins[key] if key in origins else ", ".join(inside)
        yield (f"{short_key(key)}: " if key else "") + message + shown + (f" ({origin})" if origin else "")


def _key(loc: Sequence[int | str], origins: Mapping[str, str]) -> str:
    """Return the config key in pydantic's `loc`, which may end in list indices or names of union members."""
    parts = [str(part) for part in loc]
    keys = [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
    return next((key for key in keys if key in origins), ".".join(parts))
