"""The group of `train --seeds`: one config with several seeds. The same line with more seeds adds the missing ones."""

from collections.abc import Iterator, Mapping
from typing import Any

from resnetctl.config.draft import Draft
from resnetctl.config.layers import Layer, flatten, from_file, short_key, tables
from resnetctl.config.schema import TrainConfig
from resnetctl.errors import ConfigError, UsageError
from resnetctl.hints import Setting
from resnetctl.runs.differing import FREE
from resnetctl.runs.group import Group, group_in
from resnetctl.runs.plugins import require_same_plugins
from resnetctl.system.settings import Settings
from resnetctl.tasks.sweep.points import config_of, plan_group, run_name
from resnetctl.tasks.sweep.queued import from_queue, to_text


def plan_seeds(asked: Draft[TrainConfig], settings: Settings, *, seeds: int) -> Group:
    """Return the group of one config with several seeds, from the seed of the config on; a group that exists grows.

    Raises:
        UsageError: the group has no name, or the one of that name was not made by `train --seeds`.
        ConfigError: a config is wrong or differs from that of the group, or a plugin has changed since its first run.
    """
    request, first = asked.request, asked.config.seed
    if request.name is None:
        raise UsageError("several seeds need a name for their group", where=Setting("seeds"), hint=Setting("name", "G"))
    each = [{"seed": first + number} for number in range(seeds)]
    folder = request.out or settings.runs_dir
    group = group_in(folder, request.name)
    if group is not None and group.is_by_flags():
        _grow(group, asked.asked, each, settings=settings)
        return group
    return plan_group([asked.asked], each, settings=settings, where=(folder, request.name))


def _grow(group: Group, asked: Layer, each: list[dict[str, int]], *, settings: Settings) -> None:
    """Queue a run for each seed that the group does not have. After a kill, the same call goes on."""
    wanted = [config_of([asked], point, number=number, settings=settings) for number, point in enumerate(each)]
    with group.growing() as plan:
        points = dict(plan["points"])
        now = flatten(tables(to_text(wanted[0]), str(group.path)))  # as a file has it, such as text for a path
        if problems := list(differences(group, next(iter(points)), new=now)):
            raise ConfigError(
                "the runs of the group have another config",
                where=str(group.path),
                problems=problems,
                hint=Setting("name", "OTHER", note="makes a new group"),
            )
        known = [point["seed"] for point in points.values()]
        if any(point["seed"] not in known for point in each):
            require_same_plugins(group)
        for point, config in zip(each, wanted, strict=True):
            if point["seed"] not in known:
                name = run_name(len(points), point, count=1)
                group.queue(name, to_text(config))
                points[name] = point
        if len(points) > len(known):
            group.write_plan(plan | {"points": points})


def differences(group: Group, name: str, *, new: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each key that was asked for with another value; seed, device and threads are free.

    A key that was not asked for has the value with which the run of this name trains, if it has begun.
    """
    config = group.run(name).config
    trained = from_file(config).values if config.is_file() else {}
    old = {key: trained[key] for key in new if key in trained} | dict(from_queue(group.config(name)).values)
    for key in sorted({*old, *new} - {*FREE}):
        if old.get(key) != new.get(key):
            yield f"{short_key(key)}: {_value(old, key)} in the group, {_value(new, key)} now"


def _value(values: Mapping[str, Any], key: str) -> str:
    return repr(values[key]) if key in values else "not set"
