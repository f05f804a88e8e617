"""Training as a stream of facts: `for fact in rc.stream.train(data="digits"): ...`.

A wrong argument raises when the function is called. The run begins with the first fact that is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from signal import SIGINT
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

from resnetctl.config.arguments import require_known
from resnetctl.config.calls import checked
from resnetctl.config.draft import RunRequest, draft
from resnetctl.config.duration import seconds
from resnetctl.config.layers import Layer, from_file, from_recipe, layer, together
from resnetctl.config.options import flags as known_flags
from resnetctl.config.options import key_meant
from resnetctl.config.schema import FinetuneConfig, TrainConfig
from resnetctl.errors import Interrupted, Stopped, UsageError
from resnetctl.hints import Call, Setting, in_shell, suggest
from resnetctl.predictor import Target
from resnetctl.runs.requirements import naming_plugins
from resnetctl.system import settings as machine
from resnetctl.tasks import targets

if TYPE_CHECKING:
    from resnetctl.engine.loop import StepResult
    from resnetctl.facts import TrainFact
    from resnetctl.tasks.compress import CompressReport, OrderOptions

    Facts = Iterator[TrainFact | StepResult]


Fact = TypeVar("Fact")


class RunArguments(TypedDict, total=False):
    """Arguments of `train` and `finetune` that are no config keys."""

    budget: str | float | None
    config: str | PathLike[str] | None
    name: str | None
    out: str | PathLike[str] | None
    recipe: str | None
    set: Mapping[str, Any] | None
    track: str | Sequence[str]
    tune: bool


def run_arguments() -> type:
    """Return the TypedDict of the arguments that are no config keys, for `checked`."""
    return RunArguments


def order_options() -> type:
    """Return the TypedDict of the arguments of `compress`, for `checked`."""
    from resnetctl.tasks.compress import OrderOptions

    return OrderOptions


@checked(options=run_arguments)
def train(
    *,
    recipe: str | None = None,
    config: str | Path | None = None,
    name: str | None = None,
    out: str | Path | None = None,
    set: Mapping[str, Any] | None = None,
    **flags: Any,
) -> Facts:
    """Return the facts of `rc.train` while it works: `Started`, `StepResult`, `EpochTimed`, ..., `Finished` last."""
    from resnetctl.tasks.train import train as task

    request = _request(flags, name=name, out=out)
    all_layers = layers(keywords(TrainConfig, flags), recipe=recipe, config=config, set=set)
    settings = machine.load()
    with naming_plugins(config):
        asked = draft(TrainConfig, all_layers, settings=settings, request=request, file=config)
    return interruptible(task(asked, settings))


@checked(options=run_arguments)
def finetune(
    weights: Target = None,
    *,
    data: Target = None,
    out: str | Path | None = None,
    set: Mapping[str, Any] | None = None,
    **flags: Any,
) -> Facts:
    """Return the facts of `rc.finetune` while it works, as `train`."""
    from resnetctl.tasks.finetune import finetune as task

    request = _request(flags, name=flags.pop("name", None), out=out)
    recipe, config = flags.pop("recipe", None), flags.pop("config", None)
    named = {"data": targets.text(data), "weights": None if weights is None else targets.text(weights)}
    fixed = {key: value for key, value in named.items() if value is not None}
    all_layers = layers(keywords(FinetuneConfig, flags | fixed), recipe=recipe, config=config, set=set)
    settings = machine.load()
    with naming_plugins(config):
        asked = draft(FinetuneConfig, all_layers, settings=settings, request=request)
    return interruptible(task(asked, settings))


@checked()
def resume(
    run: str | PathLike[str] = "last", epochs: int | None = None, *, exact: bool = False, device: str | None = None
) -> Facts:
    """Return the facts of `rc.resume` while it works, as `train`."""
    from resnetctl.tasks.resume import resume as task

    work = task(str(targets.text(run)), settings=machine.load(), epochs=epochs, exact=exact, device=device)
    return interruptible(work)


@checked(options=order_options)
def compress(target: Target = None, *, name: str | None = None, **order: Unpack[OrderOptions]) -> Iterator[Any]:
    """Return the facts of `rc.compress` while it makes a run; its report is the last."""
    from resnetctl.tasks import finetune, resume
    from resnetctl.tasks.compress import Order, OrderOptions, into_run
    from resnetctl.training.launch import Trainer

    require_known(order, compress, options=OrderOptions)
    trainer = Trainer(start=finetune.finetune, resume=resume.resume)
    work = into_run(Order.of(targets.text(target), **order), machine.load(), name=name, trainer=trainer)

    def facts() -> Iterator[Any]:
        report = yield from work
        yield report

    return interruptible(facts())


def interruptible(facts: Iterator[Fact]) -> Iterator[Fact]:
    """Yield the facts for a caller from Python. Work that SIGINT stops raises `Interrupted`: the caller stops, too."""
    try:
        yield from facts
    except Stopped as error:
        if error.exit_code != 128 + SIGINT:
            raise
        raise Interrupted(f"stopped {error}") from None


def cut(target: Target, out: str | Path, *, name: str | None, **order: Unpack[OrderOptions]) -> CompressReport:
    """Write the weights file of `rc.compress`, and return the report."""
    from resnetctl.tasks.compress import Order
    from resnetctl.tasks.compress import compress as task

    text, wanted = targets.text(target), Order.of(None, **order)
    wanted.require_file(name)
    return task(text, settings=machine.load(), out=out, cut=wanted.cut, data=wanted.data or None)


def _request(flags: dict[str, Any], *, name: str | None, out: str | Path | None) -> RunRequest:
    """Remove the arguments that are no config keys from `flags`. Raises `UsageError` when the budget is not a time."""
    budget, tune, track = flags.pop("budget", None), bool(flags.pop("tune", False)), flags.pop("track", ())
    try:
        length = 0.0 if budget is None else seconds(budget)
    except (TypeError, ValueError) as error:
        raise UsageError(f"budget {error}", where=Setting("budget")) from None
    return RunRequest(
        name=name,
        out=None if out is None else Path(out),
        budget=length,
        tune=tune,
        track=tuple([track] if isinstance(track, str) else track),
    )


def layers(
    keywords: Layer, *, recipe: str | None, config: str | Path | None, set: Mapping[str, Any] | None
) -> list[Layer]:
    """Return the layers, weakest first. `set` and keyword arguments are one layer; a keyword argument wins."""
    files = ([from_recipe(recipe)] if recipe else []) + ([from_file(Path(config))] if config else [])
    if set is not None and not isinstance(set, Mapping):
        raise UsageError("set takes a dict", where=Setting("set"), hint=Setting("set", {"optim.nesterov": False}))
    return [*files, together(layer(dict(set or {}), "set"), keywords)]


def keywords(model: type[TrainConfig], arguments: Mapping[str, Any]) -> Layer:
    """Return the layer of keyword arguments, named like the flags. Their origins read `argument lr`."""
    keys = {flag.flag.removeprefix("--").replace("-", "_"): flag.key for flag in known_flags(model)}
    unknown = [name for name in arguments if name not in keys]
    if "resume" in unknown:
        raise UsageError("training resumes by a function of its own", hint=Call("train", settings={"resume": "last"}))
    if "processes" in unknown:
        shell = in_shell(Call("train", settings={"processes": arguments["processes"]}))
        raise UsageError("this process trains alone; several are started from a shell", hint=shell)
    if "seeds" in unknown:
        raise _seeds(arguments)
    if "dry_run" in unknown:
        shell = in_shell(Call("train", settings={**_named(arguments), "dry_run": True}))
        times = Call("bench", settings=_named(arguments), note="times the steps")
        raise UsageError("a dry run is a command only", hint=(f"in a shell: {shell}", times))
    if "block_args" in unknown:
        hint = Setting("model.block_args.NAME", "VALUE")
        raise UsageError("the arguments of a block are config keys", hint=hint)
    classes = [name for name, value in arguments.items() if isinstance(value, type)]
    if not unknown and classes:
        new = Call("plugins new", ("NAME",), {"kind": "block"}, note="begins a plugin, which names the class")
        raise UsageError(f"{classes[0]} takes the name of what a plugin registers, not a class", hint=new)
    if unknown:
        raise _unknown(unknown[0], arguments, model=model, known=[*keys, *RunArguments.__annotations__])
    values = {keys[name]: fspath(value) if isinstance(value, PathLike) else value for name, value in arguments.items()}
    return Layer(values, {keys[name]: f"argument {name}" for name in arguments})


def _unknown(name: str, arguments: Mapping[str, Any], *, model: type[TrainConfig], known: Iterable[str]) -> UsageError:
    """Return the error of an unknown argument; one of a run is unknown only to what writes none."""
    if name in RunArguments.__annotations__:
        return UsageError(f"nothing is kept here, so there is no '{name}'")
    key = key_meant(name, model)
    is_key = key is not None and key.rpartition(".")[2] == name
    hint = Setting("set", {key: arguments[name]}) if is_key else suggest(name, known)
    return UsageError(f"unknown argument '{name}'", hint=hint)


def _named(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that name data, network and length, for a line in a hint."""
    return {name: arguments[name] for name in ("data", "arch", "epochs") if name in arguments}


def _seeds(arguments: Mapping[str, Any]) -> UsageError:
    """Return the error of several seeds."""
    file = Call("sweep", ("FILE",), note="trains what a TOML file describes, such as seeds = 3")
    shell = in_shell(Call("train", settings={**_named(arguments), "seeds": arguments["seeds"]}))
    return UsageError("this trains one run; several seeds are a group of runs", hint=[file, f"in a shell: {shell}"])
