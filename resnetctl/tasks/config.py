"""`config show`: every value of a config and where it came from, without torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import resnetctl.runs as runs
from resnetctl import registry
from resnetctl.config.draft import Config, Draft
from resnetctl.config.layers import Resolved, flatten
from resnetctl.config.schema import FinetuneConfig
from resnetctl.data.cards import derive_name, read_card, store_names
from resnetctl.errors import InputError, UsageError
from resnetctl.hints import Call, Hint, suggest
from resnetctl.report.base import Report
from resnetctl.spec import DatasetCard, WeightsCard
from resnetctl.system.settings import Settings
from resnetctl.tasks import targets
from resnetctl.weights.file import read_card as read_weights_card

VERBS = ("train", "finetune")


def show(draft: Draft[Config], settings: Settings) -> Resolved[Config]:
    """Return the config that the verb of `draft` would use, before the choices that need the machine.

    Defaults that depend on the data or the weights are shown only if these are on this machine. Raises `ConfigError`.
    """
    config = draft.config
    weights = _weights_card(config.weights, settings) if isinstance(config, FinetuneConfig) else None
    return draft.settled(_dataset_card(config.data, settings), weights)


@dataclass(frozen=True, kw_only=True)
class ConfigValue:
    """One config key, its value as JSON, and where the value came from."""

    key: str
    value: Any
    origin: str


@dataclass(frozen=True, kw_only=True)
class ConfigReport(Report):
    """Every key of a config, as `config show` lists them."""

    schema: ClassVar[str] = "resnetctl.config.show/1"
    config: tuple[ConfigValue, ...]


def of_run(text: str, settings: Settings) -> ConfigReport:
    """Return the config of the run at path `text`, or of that name, with the origins that were recorded.

    Raises:
        UsageError: `text` is neither a verb nor a run.
        InputError: a file of the run is damaged.
    """
    try:
        run = runs.find(text, settings.runs_dir)
    except InputError:
        if Path(text).exists():
            raise
        hints: list[Hint] = [suggest(text, VERBS), Call("runs list")]
        raise UsageError(f"'{text}' is neither {' nor '.join(VERBS)}, nor a run", hint=hints) from None
    return report(Resolved(config=run.read_config(), origins=run.sources()))


def report(resolved: Resolved[Any]) -> ConfigReport:
    """Return the report of a resolved config."""
    values = flatten(resolved.config.model_dump(mode="json")).items()
    origins = resolved.origins
    return ConfigReport(
        config=tuple(ConfigValue(key=key, value=value, origin=origins.get(key, "default")) for key, value in values)
    )


def _weights_card(text: str, settings: Settings) -> WeightsCard | None:
    try:
        return read_weights_card(targets.resolve(text or None, settings, needs_network=False).path)
    except InputError:
        return None


def _dataset_card(data: str, settings: Settings) -> DatasetCard | None:
    """Return the card of a dataset without reading its images; None for a path that is not in the store yet."""
    name = derive_name(Path(data)) if Path(data).exists() else data
    if name in store_names(settings.data_dir):
        return read_card(settings.data_dir, name)
    if data in registry.names("dataset"):
        return registry.get("dataset", data).card
    return None
