"""What a person asked for, read once: a valid config that the cards of data and weights then settle. No PyTorch.

parse -> layers -> `draft` -> (dataset card, weights card) -> `Draft.settled`. The command line and the API make the
draft, so that a mistake is told before PyTorch is loaded or anything is fetched; the tasks get it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from resnetctl import registry
from resnetctl.config.defaults import final_arch, suited, suited_to_finetune
from resnetctl.config.layers import Layer, Resolved, from_environment, from_recipe, layer, merge, resolve
from resnetctl.config.schema import FinetuneConfig, TrainConfig
from resnetctl.errors import UsageError
from resnetctl.hints import Setting
from resnetctl.spec import DatasetCard, WeightsCard
from resnetctl.system.settings import Settings

Config = TypeVar("Config", bound=TrainConfig, covariant=True)
FIXED_BY = ("flag ", "argument ")  # origins that `budget` and `tune` must not overrule


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What was asked of one run and does not belong to the experiment.

    Attributes:
        name: the run folder's name, None for an automatic one.
        out: the folder that run folders are made in, None for that of the settings.
        dry_run: check and time everything, write nothing.
        budget: wall time in seconds that decides how long to train, 0 leaves it to the config.
        tune: let timed steps choose the number of threads.
    """

    name: str | None = None
    out: Path | None = None
    dry_run: bool = False
    budget: float = 0.0
    tune: bool = False


@dataclass(frozen=True, kw_only=True)
class Draft(Generic[Config]):
    """A config that is valid by itself and waits for the defaults that follow from the data and the weights.

    Attributes:
        kind: the model of the config, which is that of the verb.
        asked: all layers laid over each other, so that a key is in it exactly when somebody set it.
        config: what `asked` gives without the data's defaults.
        request: what was asked of the run besides.
    """

    kind: type[Config]
    asked: Layer
    config: Config
    request: RunRequest = field(default_factory=RunRequest)

    def settled(self, data: DatasetCard | None, weights: WeightsCard | None = None) -> Resolved[Config]:
        """Return the config with its defaults, each with its origin. A card is None while it is not known.

        Args:
            data: the card of the dataset that is trained on.
            weights: the card of the weights that `finetune` starts from; it decides the architecture.

        Raises:
            ConfigError: a default of the dataset does not go with what was asked for.
        """
        if not issubclass(self.kind, FinetuneConfig):
            defaults = suited(final_arch(self.config.model), data) if data is not None else Layer()
            return resolve(self.kind, [defaults, self.asked])
        known = weights or data
        size = self.config.size or (known.image.size if known is not None else 0)
        defaults = suited_to_finetune(data, size) if data is not None else Layer()
        return resolve(self.kind, [defaults, self.asked, _architecture(weights)])


def draft(
    kind: type[Config], layers: Sequence[Layer], *, settings: Settings, request: RunRequest | None = None
) -> Draft[Config]:
    """Check what was asked for and return it as a draft.

    Args:
        kind: `TrainConfig`, `FinetuneConfig` or `BenchConfig`.
        layers: from the weakest to the strongest. The environment goes below them, the recipe `finetune` below that.

    Raises:
        ConfigError: a key or a value is wrong; all are listed.
        UsageError: no arch, block or policy has this name, or `budget` or `tune` would choose what is fixed.
        PluginError: the plugin behind one of these names is broken.
    """
    request = request or RunRequest()
    recipe = [from_recipe("finetune")] if issubclass(kind, FinetuneConfig) else []
    asked = merge([*recipe, from_environment(settings), *layers])
    config = resolve(kind, [asked]).config
    _require_free(asked, request)
    if not isinstance(config, FinetuneConfig):  # there the weights decide the architecture
        registry.find("block", final_arch(config.model).block)
    if "augment" in asked.values:
        registry.find("policy", config.augment)
    return Draft(kind=kind, asked=asked, config=config, request=request)


def _require_free(asked: Layer, request: RunRequest) -> None:
    """Raise `UsageError` when a flag or an argument fixes what `budget` or `tune` chooses."""
    choices = (
        (bool(request.budget), "budget", "the length of the run", ("epochs", "steps")),
        (request.tune, "tune", "the threads", ("threads",)),
    )
    for wanted, name, choice, keys in choices:
        fixed = [key for key in keys if asked.origins.get(key, "").startswith(FIXED_BY)]
        if wanted and fixed:
            origin = asked.origins[fixed[0]]  # `steps` is also fixed by the flag for epochs
            raise UsageError(f"{name} chooses {choice}, and {origin} fixes it: give one of them", where=Setting(name))


def _architecture(weights: WeightsCard | None) -> Layer:
    if weights is None:
        return Layer()
    arch = weights.arch
    return layer({"model": {"arch": arch.name, "block": arch.block, "stem": arch.stem}}, "weights")
