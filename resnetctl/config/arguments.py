"""Arguments of functions: those that plugins register, and the options of the verbs in Python."""

import contextlib
import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from resnetctl import registry
from resnetctl.config.schema import TrainConfig
from resnetctl.errors import ConfigError, PluginError, ResnetctlError, UsageError
from resnetctl.hints import Call, Hint, Setting, closest, suggest
from resnetctl.registry import Kind
from resnetctl.spec import Scalar

FROM_ARCH = ("stride", "drop_path", "stage", "index", "depth")  # arguments that blocks get from the arch
LARGEST = 2**1023  # no larger int is a float
Config = TypeVar("Config", bound=TrainConfig)
BLOCK: tuple[Kind, str, str] = ("block", "model.block", "model.block_args")
TABLES: tuple[tuple[Kind, str, str], ...] = (  # kind, key of the name, key of the arguments
    ("head", "model.head", "model.head_args"),
    ("policy", "augment", "augment_args"),
    ("optimizer", "optim.name", "optim.args"),
    ("schedule", "schedule.name", "schedule.args"),
    ("objective", "objective.name", "objective.args"),
)


def keywords(
    function: Callable[..., Any],
    *,
    shared: Mapping[str, Any],
    args: Mapping[str, Scalar],
    key: str,
    title: str,
    table: str | None = None,
) -> dict[str, Any]:
    """Return the keyword arguments of a call of `function`.

    Args:
        shared: the values of config keys; the function gets those that it names.
        args: its own arguments, from the config; `with_floats` makes an int a float where the function has one.
        key: the key of the config that has them, e.g. "schedule.args".
        title: the function in messages, e.g. "schedule 'poly'".
        table: the table of the config with the shared keys, "" for the top level; None: that of `key`.

    Raises:
        ConfigError: it has no such argument, or a value has another type than the default.
    """
    own = own_arguments(function, shared)
    prefix = f"{key.rpartition('.')[0]}." if table is None else table and f"{table}."
    args = with_floats(args, function)
    problems = {name: _problem(name, value, own, shared=shared, prefix=prefix) for name, value in args.items()}
    if wrong := [name for name, problem in problems.items() if problem]:
        optional = {name: value for name, value in own.items() if not isinstance(value, type)}  # no `Parameter.empty`
        accepted = ", ".join(f"{name}={default!r}" for name, default in optional.items())
        raise ConfigError(
            f"{title} cannot use {', '.join(f'{key}.{name}' for name in wrong)}",
            problems=[problems[name] for name in wrong],
            keys=[f"{key}.{name}" for name in wrong],
            hint=f"arguments of {title}: {accepted}" if optional else f"{title} has no arguments of its own",
        )
    named = inspect.signature(function).parameters
    return {name: value for name, value in shared.items() if name in named} | dict(args)


def with_floats(args: Mapping[str, Scalar], function: Callable[..., Any]) -> dict[str, Scalar]:
    """Return arguments with a float for each int whose parameter has a float as default or as annotation.

    People write 1 for 1.0, and torch makes another tensor of it.
    """
    parameters = inspect.signature(function).parameters
    return {
        name: float(value) if _is_whole(value) and name in parameters and _is_float(parameters[name]) else value
        for name, value in args.items()
    }


def config_with_floats(config: Config) -> Config:
    """Return the config with floats in the arguments of its policy, optimizer, schedule, objective and head.

    `with_floats` says where; those of the block belong to the arch. Imports what the config names.
    """
    for kind, key, place in TABLES:
        name, (*tables, leaf) = _value(config, key), place.split(".")
        if name and (args := _value(config, place)):
            update: dict[str, Any] = {leaf: with_floats(args, function_of(kind, name))}
            if tables:
                update = {tables[0]: getattr(config, tables[0]).model_copy(update=update)}
            config = config.model_copy(update=update)
    return config


def argument_key(name: str, values: Mapping[str, Any], *, core: bool = True) -> str:
    """Return the key of an argument that a plugin in a config has under `name`, such as `model.block_args.reduction`.

    `values` is the config by dotted key. Return "" if no plugin that it names has such an argument.

    Args:
        core: look at what the core brings, too. Most of it imports torch.
    """
    for kind, key, place in (BLOCK, *TABLES):
        with contextlib.suppress(ResnetctlError, TypeError, ValueError):  # not installed, or without a signature
            chosen = values.get(key) or (_own_block(values) if kind == "block" else "")
            if isinstance(chosen, str) and chosen and (core or registry.distribution_of(kind, chosen)):
                parameter = inspect.signature(function_of(kind, chosen)).parameters.get(name)
                if parameter is not None and parameter.default is not parameter.empty and name not in FROM_ARCH:
                    return f"{place}.{name}"
    return ""


def _own_block(values: Mapping[str, Any]) -> str:
    """Return the block of the arch in a config; "" without an arch."""
    arch = values.get("model.arch")
    return str(registry.get("arch", arch).block) if isinstance(arch, str) and arch else ""


def function_of(kind: Kind, name: str) -> Callable[..., Any]:
    """Return the function or the class that takes the arguments of a plugin: `build` of a policy and of a head."""
    value = registry.get(kind, name)
    function: Callable[..., Any] = value.build if kind in ("policy", "head") else value
    return function


def own_arguments(function: Callable[..., Any], shared: Collection[str]) -> dict[str, Scalar]:
    """Return the arguments that only `args` can set, with their defaults: keywords that are no key of the config.

    What a `functools.partial` has bound is not among them.
    """
    bound = {*shared, *getattr(function, "keywords", {})}
    parameters = inspect.signature(function).parameters.values()
    return {
        item.name: default_of(item)
        for item in parameters
        if item.kind is inspect.Parameter.KEYWORD_ONLY and item.name not in bound
    }


def changed_arguments(args: Mapping[str, Scalar], function: Callable[..., Any]) -> dict[str, Scalar]:
    """Return the arguments that differ from the defaults of the function."""
    parameters = inspect.signature(function).parameters
    return {name: value for name, value in args.items() if name not in parameters or parameters[name].default != value}


@contextlib.contextmanager
def refusable(
    kind: Kind, name: str, *, function: Callable[..., Any], args: Mapping[str, Scalar], key: str
) -> Iterator[None]:
    """Guard a call of a plugin's function, as `registry.guarded`, and take a `ValueError` as a refusal of arguments.

    With the default arguments alone it is a mistake of the plugin.

    Args:
        args: the function's own arguments, from the config.
        key: the key of the config that has them, e.g. "optim.args".

    Raises:
        ConfigError: the function refuses the arguments that are not its defaults; the error names them.
        PluginError: any other exception of a plugin.
    """
    with with_arguments(kind, name, args=args), registry.guarded(kind, name):
        try:
            yield
        except ValueError as error:
            changed = changed_arguments(with_floats(args, function), function)
            if not changed:
                raise
            title = f"{kind} '{name}'"
            names = [item for item in inspect.signature(function).parameters if item in changed]
            hint = f"defaults: {listed(function, names)}"
            raise refusal(title, error, changed=changed, key=key, hint=hint) from error


def refusal(title: str, error: ValueError, *, changed: Mapping[str, Scalar], key: str, hint: str) -> ConfigError:
    """Return the error for a function that refuses arguments, which are not its defaults. `key` as in `refusable`."""
    keys = [f"{key}.{name}" for name in changed]
    where = Setting(keys[0], next(iter(changed.values())))
    return ConfigError(f"{title} refuses {in_words(changed)}: {error}", where=where, keys=keys, hint=hint)


def listed(function: Callable[..., Any], names: Iterable[str]) -> str:
    """Return arguments of a function with their defaults, as `scale=1.0, mode='sum'`."""
    parameters = inspect.signature(function).parameters
    defaults = {name: default_of(parameters[name]) for name in names}
    return ", ".join(
        name if value is inspect.Parameter.empty else f"{name}={value!r}" for name, value in defaults.items()
    )


@contextlib.contextmanager
def with_arguments(kind: Kind, name: str, *, args: Mapping[str, Scalar]) -> Iterator[None]:
    """Name the arguments that are not the defaults in a `PluginError` of this plugin, and give advice that fits them.

    The rules of `plugins check` judge the defaults, so the hint to check it would lead nowhere. An error without this
    hint, or that names the arguments, and one with the defaults alone stay as they are.
    """
    try:
        yield
    except PluginError as error:
        wrong = [] if error.keys else registry.fault(kind, name, problem="").hint
        changed = _changed(kind, name, args) if any(hint in wrong for hint in error.hint) else {}
        if not changed:
            raise
        place = next(place for each, _, place in (BLOCK, *TABLES) if each == kind)
        raise PluginError(
            f"{error.message} (with {in_words(changed)})",
            where=error.where,
            hint=[*(hint for hint in error.hint if hint not in wrong), argument_advice(kind, changed)],
            keys=[f"{place}.{item}" for item in changed],
        ) from error.__cause__


def check(kind: Kind, name: str, *, args: Mapping[str, Scalar], note: str = "") -> Hint:
    """Return the hint to check a plugin that seems wrong; with other arguments than the defaults, advice on them."""
    changed = _changed(kind, name, args)
    return argument_advice(kind, changed) if changed else Call("plugins check", (name,), note=note)


def _changed(kind: Kind, name: str, args: Mapping[str, Scalar]) -> dict[str, Scalar]:
    function = function_of(kind, name)
    return changed_arguments(with_floats(args, function), function)


def argument_advice(kind: Kind, changed: Mapping[str, Scalar]) -> str:
    """Return the advice for a plugin that fails with other arguments than its defaults."""
    return f"correct the {kind} for {in_words(changed)}, or give other values: `plugins check` tries the defaults"


def in_words(args: Mapping[str, Scalar]) -> str:
    """Return arguments as `reduction=0, scale=1.0`."""
    return ", ".join(f"{name}={value}" for name, value in args.items())


def require_known(given: Collection[str], function: Callable[..., Any], *, options: type) -> None:
    """Raise `UsageError` for an argument that is neither one of `function` nor a key of its TypedDict `options`."""
    parameters = inspect.signature(function).parameters.values()
    known = [item.name for item in parameters if item.kind is not inspect.Parameter.VAR_KEYWORD]
    known += [name for name in options.__annotations__ if name not in known]
    for name in given:
        if name not in known:
            raise UsageError(f"unknown argument '{name}'", hint=suggest(name, known))


def is_like(value: Any, default: Any) -> bool:
    """Return whether a value has the type of the default. An int is accepted for a float.

    Give the default as `default_of` returns it: a parameter `float = 1` takes 0.5.
    """
    if isinstance(value, bool) or not isinstance(default, int | float | str):
        return isinstance(default, bool) or not isinstance(default, int | float | str)
    if isinstance(default, str):
        return isinstance(value, str)
    return isinstance(value, int | float if isinstance(default, float) else int) and not isinstance(default, bool)


def mistyped(name: str, value: Any, *, default: Any) -> str:
    """Return what is wrong with the type of a value, "" if it is like the default; `default` as in `is_like`."""
    if is_like(value, default):
        return ""
    if isinstance(value, float) and _is_whole(default):
        way = f"for floats, its code writes {float(default)!r} or annotates float"
        return f"'{name}' should be an int like its default {default}, not {value!r} ({way})"
    return f"'{name}' should be like its default {default!r}, not {value!r}"


def default_of(parameter: inspect.Parameter) -> Any:
    """Return the default of a parameter, as a float where the annotation says so."""
    default = parameter.default
    return float(default) if _is_whole(default) and _is_float(parameter) else default


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST


def _is_float(parameter: inspect.Parameter) -> bool:
    return isinstance(parameter.default, float) or parameter.annotation in (float, "float")


def _value(config: TrainConfig, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _problem(name: str, value: Scalar, own: Mapping[str, Scalar], *, shared: Collection[str], prefix: str) -> str:
    if name in shared:
        return f"'{name}' is set by {prefix}{name}"
    if name not in own:
        near = closest(name, own)
        return f"'{name}' is not an argument" + (f": {near}" if near else "")
    return mistyped(name, value, default=own[name])
