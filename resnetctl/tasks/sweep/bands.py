"""Golden recipes: the accuracy that each packaged recipe reached, and whether this machine reaches it too.

A band has the mean and the standard deviation of n seeds on one dataset. `verify` trains other seeds. Their mean must
lie in the 95 % prediction interval that follows from both numbers of seeds (Hahn 1969, JASA 64, p. 878).
"""

import json
import math
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

from resnetctl.config.layers import from_recipe, layer
from resnetctl.errors import InputError, UsageError
from resnetctl.hints import Setting
from resnetctl.report.base import Report
from resnetctl.runs.group import Group, find_group
from resnetctl.spec import Card
from resnetctl.system.settings import Settings
from resnetctl.tasks.sweep.points import plan_group
from resnetctl.tasks.sweep.results import show
from resnetctl.tasks.sweep.work import work
from resnetctl.training.launch import Trainer
from resnetctl.trust.compare import student_quantile
from resnetctl.trust.seeds import seed_mean

LEAST = 0.001  # half-width of an interval: a band of equal seeds must not refuse one image


@dataclass(frozen=True, kw_only=True)
class Band(Card):
    """What a recipe reached: val accuracy of the kept epoch, over `n` seeds from 0 on.

    `config` has the config keys besides the recipe's and `data`; `hardware` and `date` say where and when.
    """

    recipe: str
    data: str
    n: int
    mean: float
    sd: float
    hardware: str
    date: str
    config: Mapping[str, Any]

    def interval(self, seeds: int) -> tuple[float, float]:
        """Return the 95 % prediction interval of the mean of so many other seeds."""
        spread = self.sd * math.sqrt(1 / self.n + 1 / seeds)
        half = max(LEAST, student_quantile(0.975, self.n - 1) * spread)
        return max(0.0, self.mean - half), min(1.0, self.mean + half)


@dataclass(frozen=True, kw_only=True)
class BandReport(Report):
    """The seeds of a verification beside the band of the recipe."""

    schema: ClassVar[str] = "resnetctl.recipes.verify/1"
    band: Band
    seeds: Mapping[int, float]
    mean: float
    interval: tuple[float, float]
    is_inside: bool
    group: str


@dataclass(frozen=True, kw_only=True)
class BandsReport(Report):
    """The bands of all packaged recipes."""

    schema: ClassVar[str] = "resnetctl.recipes.list/1"
    bands: tuple[Band, ...]


def bands() -> BandsReport:
    """Return the bands of the packaged recipes."""
    text = (resources.files("resnetctl") / "recipes" / "bands.json").read_text(encoding="utf-8")
    return BandsReport(bands=tuple(Band(**item) for item in json.loads(text)))


def band_of(recipe: str, data: str | None) -> Band:
    """Return the band of a recipe, on `data` or on the first dataset. Raises `UsageError` if there is none."""
    from_recipe(recipe)  # raises for an unknown name
    known = [band for band in bands().bands if band.recipe == recipe]
    found = [band for band in known if data in (None, band.data)]
    if not found:
        where = f" on '{data}'" if data else ""
        others = ", ".join(f"{band.recipe} on {band.data}" for band in (known or bands().bands))
        raise UsageError(f"the recipe '{recipe}' has no band{where}", where=Setting("data"), hint=f"known: {others}")
    return found[0]


def verify(band: Band, settings: Settings, *, seeds: int, trainer: Trainer) -> Generator[Any, None, BandReport]:
    """Train `seeds` seeds that the band does not have; yield facts, return the report. It goes on where it stopped."""
    group = _group(band, settings, seeds=seeds)
    yield from work(group, settings, trainer=trainer)
    setting = show(group).settings[0]
    if len(setting.seeds) < seeds:
        raise InputError("not all runs of the verification have finished", where=str(group.path))
    mean = seed_mean([*setting.seeds.values()]).mean
    low, high = band.interval(seeds)
    return BandReport(
        band=band,
        seeds=setting.seeds,
        mean=mean,
        interval=(low, high),
        is_inside=low <= mean <= high,
        group=str(group.path),
    )


def _group(band: Band, settings: Settings, *, seeds: int) -> Group:
    name = f"verify-{band.recipe}-{band.data}-{seeds}"
    if (settings.runs_dir / name).is_dir():
        return find_group(settings.runs_dir / name, Path())
    base = [from_recipe(band.recipe), layer({"data": band.data, **band.config}, "the band")]
    each: Iterator[dict[str, int]] = ({"seed": band.n + number} for number in range(seeds))
    return plan_group(base, list(each), settings=settings, where=(settings.runs_dir, name))
