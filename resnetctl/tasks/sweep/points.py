"""The runs of a sweep: which values each gets from its file, and the group that they make."""

import contextlib
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from resnetctl import rng
from resnetctl.config.arguments import TABLES
from resnetctl.config.draft import draft
from resnetctl.config.layers import Layer, flatten, from_recipe, full_key, nest, placed
from resnetctl.config.origins import located
from resnetctl.config.schema import TrainConfig
from resnetctl.errors import ConfigError
from resnetctl.hints import Setting
from resnetctl.runs.group import Group, create_group
from resnetctl.system.settings import Settings
from resnetctl.tasks.sweep.asking import suggest
from resnetctl.tasks.sweep.file import MAX_RUNS, SweepFile
from resnetctl.tasks.sweep.queued import to_text

LIST = 'method = "list", with a table [[items]] for each setting: it has the arguments that fit its plugin'
Point = Mapping[str, Any]


def points(sweep: SweepFile) -> list[dict[str, Any]]:
    """Return the values of each run, in dotted keys. Each point is repeated for every seed.

    Raises `ConfigError` if nothing varies, or a range cannot be drawn from.
    """
    makers = {"grid": _grid, "random": _random, "list": _listed}
    found = list({json.dumps(point, default=str): point for point in makers[sweep.method](sweep)}.values())
    if not found or (found == [{}] and sweep.seeds == 1):
        raise ConfigError(
            "the sweep has one run: nothing varies", hint="a table [vary], such as lr = [0.05, 0.1], or seeds = 3"
        )
    if len(found) * sweep.seeds > MAX_RUNS:
        raise ConfigError(f"the sweep has {len(found) * sweep.seeds:,} runs; at most {MAX_RUNS:,} can be made")
    first = first_seed(sweep)
    return [point | _seed(sweep, first + number) for point in found for number in range(sweep.seeds)]


def plan_sweep(sweep: SweepFile, settings: Settings, *, name: str, out: Path | None = None) -> Group:
    """Create the group of a sweep. Every config is checked before anything is written.

    Raises:
        ConfigError, UsageError: a config is wrong, or the group exists.
    """
    where = (out or settings.runs_dir, name)
    if sweep.method == "optuna":
        return _plan_search(sweep, settings, where=where)
    each = points(sweep)
    return plan_group(base(sweep), each, settings=settings, where=where, halving=sweep.halving, sweep=sweep)


def base(sweep: SweepFile) -> list[Layer]:
    """Return the layers that all runs share."""
    recipe = [from_recipe(sweep.recipe)] if sweep.recipe else []
    return [*recipe, placed(sweep.config, sweep.places_in("config"), otherwise="the sweep's config")]


def _plan_search(sweep: SweepFile, settings: Settings, *, where: tuple[Path, str]) -> Group:
    """Create the group of a search, with its first run. The ends of all ranges and all values are checked now."""
    if sweep.seeds > 1 or sweep.halving:
        raise ConfigError("optuna compares single, whole runs: leave seeds and halving out")
    vary = _choices(sweep.vary)
    if not vary:
        raise ConfigError(
            "optuna has nothing to choose", hint="a table [vary], such as lr = { low = 0.01, high = 1.0 }"
        )
    first = suggest(vary, [], seed=sweep.seed)
    ends = {
        key: values if isinstance(values, list) else [values["low"], values["high"]] for key, values in vary.items()
    }
    for number in range(max(map(len, ends.values()))):
        config_of(
            base(sweep),
            {key: each[number % len(each)] for key, each in ends.items()},
            number=number,
            settings=settings,
            sweep=sweep,
        )
    name = run_name(0, first, count=sweep.runs)
    plan = {"keys": sorted(vary), "points": {name: first}, "search": sweep.model_dump()}
    return create_group(
        *where,
        plan=plan,
        configs={name: to_text(config_of(base(sweep), first, number=0, settings=settings, sweep=sweep))},
    )


def ask(group: Group, settings: Settings) -> str | None:
    """Add the next run of a search to its group; return its name. None: the group is no search, or has all its runs."""
    with group.growing() as plan:
        if "search" not in plan:
            return None
        sweep, done = SweepFile.model_validate(plan["search"]), dict(plan["points"])
        waiting = next((name for name in done if not group.config(name).is_file()), None)  # its worker was killed
        if waiting is None and len(done) >= sweep.runs:
            return None
        if waiting is None:
            tried = [(point, _outcome(group, name)) for name, point in done.items()]
            point = suggest(_choices(sweep.vary), tried, seed=sweep.seed)
            waiting = run_name(len(done), point, count=sweep.runs)
            done[waiting] = point
            group.write_plan(plan | {"points": done})
        config = config_of(base(sweep), done[waiting], number=[*done].index(waiting), settings=settings)
        group.queue(waiting, to_text(config))
        return waiting


def _outcome(group: Group, name: str) -> float | Literal["failed", "open"]:
    """Return what came out of a run. Raises `ConfigError` when it has finished without a number to learn from."""
    value, run = group.value(name), group.run(name)
    if value is not None:
        return value
    if run.failure() is not None:
        return "failed"
    if run.summary() is not None:
        raise ConfigError(
            "a search learns from val, and its runs have no val split",
            where=str(run.path),
            hint=Setting("val_fraction", 0.1),
        )
    return "open"


def plan_group(
    base: Sequence[Layer],
    each: Sequence[Point],
    *,
    settings: Settings,
    where: tuple[Path, str],
    halving: int = 0,
    sweep: SweepFile | None = None,
) -> Group:
    """Create the group `where` (folder and name) with a run for each point, on top of the layers `base`.

    `sweep` knows the lines of the keys, for errors. Without it the points are seeds of one config, which flags gave.
    """
    keys = sorted({key for point in each for key in point})
    named = {run_name(number, point, count=len(each)): dict(point) for number, point in enumerate(each)}
    configs = {
        name: to_text(config_of(base, point, number=number, settings=settings, in_epochs=bool(halving), sweep=sweep))
        for number, (name, point) in enumerate(named.items())
    }
    if halving == 1:
        raise ConfigError("halving by 1 stops no run", hint="halving = 2 or more, or 0")
    plan = {"keys": keys, "halving": halving, "points": named, "by_flags": sweep is None}
    return create_group(*where, plan=plan, configs=configs)


def config_of(
    base: Sequence[Layer],
    point: Point,
    *,
    number: int,
    settings: Settings,
    in_epochs: bool = False,
    sweep: SweepFile | None = None,
) -> Layer:
    """Return the keys that were asked for of a run, with their origins. Raises `ConfigError` for a wrong one."""
    from resnetctl.tasks.sweep.checks import require_usable

    places = {} if sweep is None else sweep.places_of(point)
    values = nest({full_key(key): value for key, value in point.items()})
    own = placed(values, places, otherwise="the seeds of the group" if sweep is None else f"run {number} of the sweep")
    made = draft(TrainConfig, [*base, own], settings=settings)
    if in_epochs and not made.config.epochs:
        raise ConfigError("halving needs a length in epochs", hint=Setting("epochs", 10))
    place = None if sweep is None else f"run {number} of the sweep"
    with located(made.asked.origins, otherwise=place), _advising_list(sweep):
        require_usable(made)
    return made.asked


@contextlib.contextmanager
def _advising_list(sweep: SweepFile | None) -> Iterator[None]:
    """Add the way out to the error for an argument that varies beside the name of the plugin that does not have it."""
    try:
        yield
    except ConfigError as error:
        varied = {} if sweep is None or sweep.method == "list" else _choices(sweep.vary)
        vary = {*map(full_key, varied)}
        names = {"model.block_args": ("model.block", "model.arch")} | {args: (name,) for _, name, args in TABLES}
        for key in map(full_key, error.keys):
            if key in vary and vary.intersection(names.get(key.rpartition(".")[0], ())):
                error.hint = (*error.hint, LIST)
                break
        raise


def first_seed(sweep: SweepFile) -> int:
    """Return the seed of the shared config. Raises `ConfigError` if it is no number, or if the points have seeds."""
    seed = flatten(sweep.config).get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int):
        where = sweep.place("config.seed")
        raise ConfigError(f"the seed of the sweep's config is a whole number, not {seed!r}", where=where)
    tables = sweep.items if sweep.method == "list" else [sweep.vary]
    if sweep.seeds > 1 and any("seed" in table for table in tables):
        raise ConfigError("the seeds are given twice", hint="seeds = 3, or a list of values for seed")
    return seed


def _seed(sweep: SweepFile, seed: int) -> dict[str, int]:
    return {"seed": seed} if sweep.seeds > 1 else {}


def _grid(sweep: SweepFile) -> Iterator[dict[str, Any]]:
    vary = _choices(sweep.vary)
    for key, values in vary.items():
        if not isinstance(values, list):
            where = sweep.place(f"vary.{key}")
            raise ConfigError(f"a grid needs a list of values for '{key}', not {values!r}", where=where)
    for values in itertools.product(*vary.values()):
        yield dict(zip(vary, values, strict=True))


def _listed(sweep: SweepFile) -> Iterator[dict[str, Any]]:
    yield from map(flatten, sweep.items)


def _random(sweep: SweepFile) -> Iterator[dict[str, Any]]:
    vary = _choices(sweep.vary)
    for number in range(sweep.runs):
        yield {key: _drawn(sweep, key, values, number=number) for key, values in vary.items()}


def _drawn(sweep: SweepFile, key: str, values: Any, *, number: int) -> Any:
    """Return one value: an item of a list, or a number of a range. It depends on key, seed and number only."""
    share = rng.derive(sweep.seed, f"sweep {key}", number) / 2**63
    if isinstance(values, list) and values:
        return values[int(share * len(values))]
    try:
        low, high = values["low"], values["high"]
        logs = (math.log(low), math.log(high)) if values.get("log") else None
        is_range = math.isfinite(high - low) and low <= high
    except (KeyError, TypeError, ValueError):
        is_range = False
    if not is_range:
        raise ConfigError(
            f"'{key}' needs a list of values, or a range such as {{ low = 0.01, high = 1.0, log = true }}",
            where=sweep.place(f"vary.{key}"),
        )
    drawn = math.exp(logs[0] + share * (logs[1] - logs[0])) if logs else low + share * (high - low)
    return round(drawn) if isinstance(low, int) and isinstance(high, int) else float(f"{drawn:.4g}")


def _choices(vary: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values by dotted key. A table with `low` and `high` is a range, any other is a table of keys."""
    found: dict[str, Any] = {}
    for key, value in vary.items():
        is_table = isinstance(value, dict) and not {"low", "high"} <= value.keys()
        found |= _choices(value, f"{prefix}{key}.") if is_table else {prefix + key: value}
    return found


def run_name(number: int, point: Point, *, count: int) -> str:
    """Return the folder name of a run: `03-lr0.1-seed0`."""
    return f"{number:0{len(str(count - 1))}d}-{_words(point)}"


def _words(point: Point) -> str:
    words = (f"{key.rpartition('.')[2]}{value}" for key, value in point.items())
    return re.sub(r"[^A-Za-z0-9._+=-]+", "_", "-".join(words))[:80]
