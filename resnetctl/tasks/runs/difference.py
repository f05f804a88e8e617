"""`runs diff`: in what two runs differ, and the first epoch whose numbers differ. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from resnetctl.config.layers import flatten, from_file
from resnetctl.report.base import Report
from resnetctl.runs import RunDir
from resnetctl.runs.plugins import changed_within
from resnetctl.tasks.runs.listing import sources

VERSIONS, MACHINE, DATA = ("resnetctl", "python", "packages", "plugins", "code"), ("platform", "machine"), ("data",)
Pair = tuple[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A config key whose values differ: both values, and where each comes from. None: the run has no such key."""

    key: str
    values: Pair
    origins: tuple[str | None, str | None]


@dataclass(frozen=True, kw_only=True)
class Parting:
    """The curves of two runs.

    Attributes:
        epochs: the epochs of each run.
        equal: epochs from the first one on whose numbers are equal to the last digit.
        epoch: the first epoch whose numbers differ; None if none does as far as both runs go.
        numbers: what differs in this epoch, both values by key.
    """

    epochs: tuple[int, int]
    equal: int
    epoch: int | None
    numbers: Mapping[str, Pair]


@dataclass(frozen=True, kw_only=True)
class DiffReport(Report):
    """In what two runs differ; what is equal is left out.

    Attributes:
        runs: the names; those of a group are `GROUP/FOLDER`.
        config: the keys that differ, with both values and origins.
        versions, machine, data: what `env.json` has in two values, by dotted key; digests of the splits are in `data`.
        curves: how far the curves are equal.
        plugins: a sentence for each change of a plugin before a run was resumed.
    """

    schema: ClassVar[str] = "resnetctl.runs.diff/1"
    runs: tuple[str, str]
    config: tuple[Changed, ...]
    versions: Mapping[str, Pair]
    machine: Mapping[str, Pair]
    data: Mapping[str, Pair]
    curves: Parting
    plugins: tuple[str, ...] = ()


def diff(one: RunDir, other: RunDir) -> DiffReport:
    """Return the report on two runs. Raises `InputError` for a run that cannot be read."""
    for run in (one, other):
        run.read_config()  # raises for a run that cannot be read
    environment = _unequal(*(environment_of(run) for run in (one, other)))
    return DiffReport(
        runs=(one.name, other.name),
        config=tuple(_changed(one, other)),
        versions=_below(environment, VERSIONS),
        machine=_below(environment, MACHINE),
        data=_below(environment, DATA),
        curves=parting(one.metrics(), other.metrics()),
        plugins=changed_within([one, other]),
    )


def environment_of(run: RunDir) -> dict[str, Any]:
    """Return the content of `env.json` by dotted key."""
    return flatten(run.environment())


def parting(ones: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> Parting:
    """Return how far the epochs of two runs, the lines of their metrics, are equal."""
    lengths = (len(ones), len(others))
    for place, (one, other) in enumerate(zip(ones, others, strict=False)):
        if numbers := _unequal(one, other):
            return Parting(epochs=lengths, equal=place, epoch=one.get("epoch", place + 1), numbers=numbers)
    return Parting(epochs=lengths, equal=min(lengths), epoch=None, numbers={})


def _changed(one: RunDir, other: RunDir) -> list[Changed]:
    from_one, from_other = sources(one), sources(other)
    return [
        Changed(key=key, values=values, origins=(from_one.get(key), from_other.get(key)))
        for key, values in _unequal(from_file(one.config).values, from_file(other.config).values).items()
    ]


def _unequal(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Pair]:
    """Return both values of each key that has two."""
    return {key: (one.get(key), other.get(key)) for key in {**one, **other} if one.get(key) != other.get(key)}


def _below(pairs: Mapping[str, Pair], names: tuple[str, ...]) -> dict[str, Pair]:
    """Return the keys in the tables of env.json with these names, and the keys that have such a name."""
    return {key: pair for key, pair in pairs.items() if key.partition(".")[0] in names}
