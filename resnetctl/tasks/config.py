"""`config show`: every value of a config and where it was said, without torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from resnetctl import registry
from resnetctl.config.defaults import final_arch, suited, suited_to_finetune
from resnetctl.config.layers import Layer, Resolved, flatten, from_environment, from_recipe, layer, merge, resolve
from resnetctl.config.schema import FinetuneConfig, TrainConfig
from resnetctl.data.cards import derive_name, read_card, store_names
from resnetctl.errors import InputError, UsageError
from resnetctl.report.base import Report
from resnetctl.spec import DatasetCard, WeightsCard
from resnetctl.system.settings import Settings
from resnetctl.tasks import targets
from resnetctl.weights.file import read_card as read_weights_card


def show(layers: Sequence[Layer], settings: Settings, *, verb: str = "train") -> Resolved[TrainConfig]:
    """The config that `verb` would use, before automatic choices. Raises `ConfigError`, `UsageError`."""
    if verb == "finetune":
        return _finetune(layers, settings)
    draft = resolve(TrainConfig, layers).config
    card = _card(draft.data, settings)
    values = suited(final_arch(draft.model), card) if card is not None else {}
    return resolve(TrainConfig, [layer(values, "default"), from_environment(settings), *layers])


@dataclass(frozen=True, kw_only=True)
class ConfigValue:
    """One key of a config, its value as JSON has it, and where the value was said."""

    key: str
    value: Any
    origin: str


@dataclass(frozen=True, kw_only=True)
class ConfigReport(Report):
    """Every key of a config, as `config show` lists them."""

    schema: ClassVar[str] = "resnetctl.config.show/1"
    config: tuple[ConfigValue, ...]


def report(resolved: Resolved[Any]) -> ConfigReport:
    """Return the report of a resolved config."""
    values = flatten(resolved.config.model_dump(mode="json")).items()
    origins = resolved.origins
    return ConfigReport(
        config=tuple(ConfigValue(key=key, value=value, origin=origins.get(key, "default")) for key, value in values)
    )


def require_free(layers: Sequence[Layer], *, budget: bool, tune: bool) -> None:
    """Raise `UsageError` when a flag (or an argument of the API) fixes what `--budget` or `--tune` is to find out."""
    origins = merge(layers).origins
    for wanted, flag, keys in ((budget, "--budget", ("epochs", "steps")), (tune, "--tune", ("threads",))):
        fixed = [origins[key] for key in keys if origins.get(key, "").startswith(("flag ", "argument "))]
        if wanted and fixed:
            raise UsageError(f"{flag} finds out what {fixed[0].partition(' ')[2]} says: give one of them", where=flag)


def _finetune(layers: Sequence[Layer], settings: Settings) -> Resolved[FinetuneConfig]:
    """The arch comes from the weights, as far as they are here."""
    draft = resolve(FinetuneConfig, layers).config
    data, weights = _card(draft.data, settings), _weights(draft.weights, settings)
    known = weights or data
    size = draft.size or (known.image.size if known is not None else 0)
    defaults = layer(suited_to_finetune(data, size), "default") if data is not None else Layer()
    model = {"arch": weights.arch.name, "block": weights.arch.block, "stem": weights.arch.stem} if weights else {}
    below = [defaults, from_recipe("finetune"), from_environment(settings)]
    return resolve(FinetuneConfig, [*below, *layers, layer({"model": model}, "weights")])


def _weights(text: str, settings: Settings) -> WeightsCard | None:
    try:
        return read_weights_card(targets.resolve(text or None, settings).path)
    except InputError:
        return None


def _card(data: str, settings: Settings) -> DatasetCard | None:
    """What is known of a dataset without reading it: None for a path that is not in the store yet."""
    name = derive_name(Path(data)) if Path(data).exists() else data
    if name in store_names(settings.data_dir):
        return read_card(settings.data_dir, name)
    if data in registry.names("dataset"):
        return registry.get("dataset", data).card
    return None
