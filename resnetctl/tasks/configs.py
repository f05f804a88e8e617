"""`config show`: every value of a config and where it was said, without torch."""

from collections.abc import Sequence

from resnetctl import registry
from resnetctl.config.defaults import final_arch, suited, suited_to_finetune
from resnetctl.config.layers import Layer, Resolved, from_recipe, layer, resolve
from resnetctl.config.models import FinetuneConfig, TrainConfig
from resnetctl.data.cards import read_card, store_names
from resnetctl.settings import Settings
from resnetctl.spec import DatasetCard


def show(layers: Sequence[Layer], settings: Settings, *, verb: str = "train") -> Resolved[TrainConfig]:
    """The config that `verb` would use, before automatic choices. Raises `ConfigError`, `UsageError`."""
    if verb == "finetune":
        finetune = resolve(FinetuneConfig, layers).config
        card = _card(finetune.data, settings)
        defaults = layer(suited_to_finetune(card), "default") if card is not None else Layer()
        found = resolve(FinetuneConfig, [defaults, from_recipe("finetune"), *layers])
        return Resolved[TrainConfig](config=found.config, origins=found.origins)
    draft = resolve(TrainConfig, layers).config
    card = _card(draft.data, settings)
    values = suited(final_arch(draft.model), card) if card is not None else {}
    return resolve(TrainConfig, [layer(values, "default"), *layers])


def _card(data: str, settings: Settings) -> DatasetCard | None:
    """What is known of a dataset without reading it: None for a path that is not in the store yet."""
    if data in store_names(settings.data_dir):
        return read_card(settings.data_dir, data)
    if data in registry.names("dataset"):
        found: DatasetCard = registry.get("dataset", data).card
        return found
    return None
