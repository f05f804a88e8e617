"""The group of a sweep's file: made now, or found. More seeds or values in the file add the missing runs."""

import json
from collections.abc import Iterator, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from resnetctl import registry
from resnetctl.config.layers import Layer, flatten, tables
from resnetctl.errors import ConfigError
from resnetctl.hints import Call, Setting
from resnetctl.runs.group import Group, find_group, group_in
from resnetctl.runs.plugins import require_same_plugins
from resnetctl.system.settings import Settings
from resnetctl.tasks.sweep.file import SweepFile, read_sweep
from resnetctl.tasks.sweep.points import Point, base, config_of, first_seed, plan_sweep, points, run_name
from resnetctl.tasks.sweep.queued import to_text
from resnetctl.tasks.sweep.seeds import differences

SHOWN = 10  # lines on runs that the file no longer has


def open_group(
    file: str | PathLike[str], settings: Settings, *, name: str | None, out: Path | None, halving: int
) -> Group:
    """Return the group that a file describes, created or made larger now, or the group of that name.

    Raises as `plan_sweep`, and `ConfigError` if the group of this name has other runs than the file.
    """
    path = Path(file)
    if not path.is_file() and path.suffix != ".toml":
        return find_group(fspath(file), settings.runs_dir)
    sweep = read_sweep(path)
    if sweep.seed and sweep.method in ("grid", "list"):
        registry.notice(
            f"{sweep.place('seed')}: seed = {sweep.seed} changes only the draws of random and optuna. Did you mean "
            f"seeds = {sweep.seed}? A first seed of all runs is seed = {sweep.seed} under [config]"
        )
    if halving:
        sweep = sweep.model_copy(update={"halving": halving})
    name = name or sweep.name or path.stem
    group = group_in(out or settings.runs_dir, name)
    if group is None or group.is_by_flags() or "optuna" in (sweep.method, group.method()):
        return plan_sweep(sweep, settings, name=name, out=out)
    _grow(group, sweep, settings=settings)
    return group


def _grow(group: Group, sweep: SweepFile, *, settings: Settings) -> None:
    """Queue each run of the file that the group does not have. After a kill, the same call goes on."""
    first, each = first_seed(sweep), points(sweep)
    asked = [
        config_of(base(sweep), point, number=number, settings=settings, in_epochs=bool(sweep.halving), sweep=sweep)
        for number, point in enumerate(each)
    ]
    wanted = {_key(point, first): (point, layer) for point, layer in zip(each, asked, strict=True)}
    with group.growing() as plan:
        old = {_key(point, first): name for name, point in plan["points"].items()}
        missing = [wanted[key] for key in wanted if key not in old]
        if problems := list(dict.fromkeys(_problems(group, plan, old=old, wanted=wanted, halving=sweep.halving))):
            raise ConfigError(
                "the group has other runs than the file",
                where=str(group.path),
                problems=problems,
                hint=[
                    Call("sweep work", (group.path,), note="trains the runs of the group"),
                    Setting("name", "OTHER", note="makes a new group"),
                ],
            )
        if missing:
            require_same_plugins(group)
        named = dict(plan["points"])
        for point, layer in missing:
            name = run_name(len(named), point, count=1)
            group.queue(name, to_text(layer))
            named[name] = point
        if missing:
            keys = sorted({key for point in named.values() for key in point})
            group.write_plan(plan | {"points": named, "keys": keys})


def _problems(
    group: Group,
    plan: Mapping[str, Any],
    *,
    old: Mapping[str, str],
    wanted: Mapping[str, tuple[Point, Layer]],
    halving: int,
) -> Iterator[str]:
    """Yield a line for each reason why the file cannot make the group larger."""
    if plan.get("halving", 0) != halving:
        yield f"halving: {plan.get('halving', 0)} in the group, {halving} in the file"
    elif halving and wanted.keys() - old.keys():
        yield "halving: the runs of the group were chosen among those that it had, and no run can join them"
    gone = [name for key, name in old.items() if key not in wanted]
    yield from (f"{name}: in the group, not in the file" for name in gone[:SHOWN])
    if len(gone) > SHOWN:
        yield f"and {len(gone) - SHOWN:,} more runs"
    for key, name in old.items():
        if key in wanted:
            now = flatten(tables(to_text(wanted[key][1]), name))  # as a file has it, such as text for a path
            yield from differences(group, name, new=now)


def _key(point: Point, first: int) -> str:
    """Return the values of a run as text. A run whose file named no seed has the first one."""
    return json.dumps({"seed": first, **point}, sort_keys=True, default=str)
