"""The draft of a config: the request of the user, validated before its defaults are known. Imports no PyTorch.

parse -> layers -> `draft` -> (dataset card, weights card) -> `Draft.settled`. The command line and the API make the
draft, so mistakes are reported before PyTorch is imported or data is fetched. The tasks receive the draft.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

from resnetctl import registry
from resnetctl.config.defaults import final_arch, suited, suited_to_finetune
from resnetctl.config.layers import Layer, Resolved, from_environment, from_recipe, layer, merge, resolve, without
from resnetctl.config.origins import is_by_hand, located
from resnetctl.config.schema import BenchConfig, FinetuneConfig, TrainConfig
from resnetctl.errors import ConfigError, PluginError, UsageError
from resnetctl.hints import Call, Setting
from resnetctl.registry import Kind
from resnetctl.spec import DatasetCard, WeightsCard
from resnetctl.system.settings import Settings

Config = TypeVar("Config", bound=TrainConfig, covariant=True)


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """The settings of one run that are not part of the experiment's config.

    Attributes:
        name: name of the run folder; None: automatic.
        out: the folder in which run folders are created; None: `runs_dir` of the settings.
        dry_run: check and time everything, write nothing.
        budget: wall time in seconds that sets the length of the training; 0: the config sets it.
        shortens: whether the budget only shortens the length that the config sets.
        tune: let timed steps choose the number of threads.
        track: trackers that the run is written for.
    """

    name: str | None = None
    out: Path | None = None
    dry_run: bool = False
    budget: float = 0.0
    shortens: bool = False
    tune: bool = False
    track: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Draft(Generic[Config]):
    """A config that is valid by itself, before the defaults of the data and the weights are added.

    Attributes:
        kind: the config class of the verb.
        base: the packaged recipe of the verb; the defaults of the data and the weights are stronger.
        asked: all layers merged; it has exactly the keys that the user set.
        config: the config that `base` and `asked` give without the defaults of the data.
        request: the settings of the run.
        left_out: keys of a finetune run that `bench` does not use.
    """

    kind: type[Config]
    base: Layer = field(default_factory=Layer)
    asked: Layer
    config: Config
    request: RunRequest = field(default_factory=RunRequest)
    left_out: tuple[str, ...] = ()

    def settled(self, data: DatasetCard | None, weights: WeightsCard | None = None) -> Resolved[Config]:
        """Return the complete config and the origin of each value. A card is None while it is unknown.

        Args:
            data: the card of the training dataset.
            weights: the card of the weights that `finetune` starts from; it decides the architecture.

        Raises:
            ConfigError: a default of the dataset contradicts the request.
            PluginError: the dataset's card names a policy that is not installed.
        """
        if not isinstance(self.config, FinetuneConfig):
            arch = final_arch(self.config.model)
            defaults = (
                suited(arch, data, asked=self.asked.values, head=self.config.model) if data is not None else Layer()
            )
            resolved = resolve(self.kind, [defaults, self.asked])
        else:
            defaults = suited_to_finetune(self.config, data, weights=weights) if data is not None else Layer()
            resolved = resolve(self.kind, [self.base, defaults, self.asked, _architecture(weights, asked=self.asked)])
        _require_policy(resolved.config.augment, resolved.origins["augment"])
        return resolved

    def lasting(self, length: Mapping[str, int], *, origin: str) -> "Draft[Config]":
        """Return the draft with other `epochs` and `steps`, which are stronger than those of the user."""
        asked = merge([self.asked, layer(dict(length), origin)])
        return replace(self, asked=asked, config=resolve(self.kind, [self.base, asked]).config)


def draft(
    kind: type[Config],
    layers: Sequence[Layer],
    *,
    settings: Settings,
    request: RunRequest | None = None,
    file: str | Path | None = None,
) -> Draft[Config]:
    """Validate the request of the user and return it as a draft.

    Args:
        kind: `TrainConfig`, `FinetuneConfig` or `BenchConfig`.
        layers: from the weakest to the strongest. The environment is weaker than all of them, and the recipe
            `finetune` is weaker than the defaults of the data.
        file: the config file that one of the layers is from.

    Raises:
        ConfigError: a key or a value is wrong; all are listed. Or `train` got the config of a finetune run.
        UsageError: an arch, block, policy, optimizer, schedule, objective or tracker is unknown, or the user fixed a
            value that `budget` or `tune` chooses.
        PluginError: the plugin that provides one of them is broken.
    """
    request = request or RunRequest()
    base = from_recipe("finetune") if issubclass(kind, FinetuneConfig) else Layer()
    asked = merge([from_environment(settings), *layers])
    left_out = _of_finetune(asked) if issubclass(kind, BenchConfig) else []
    asked = without(asked, left_out)
    if kind is TrainConfig:
        _require_from_scratch(asked, file)
    config = resolve(kind, [base, asked]).config
    _require_free(asked, request)
    _require_names(config, asked)
    for name in request.track:
        if name not in registry.names("tracker"):
            registry.find("tracker", name)
    return Draft(kind=kind, base=base, asked=asked, config=config, request=request, left_out=tuple(left_out))


def _require_names(config: TrainConfig, asked: Layer) -> None:
    """Raise `UsageError` or `PluginError` if a name in the config cannot be used."""
    names: dict[str, tuple[Kind, str]] = {
        "model.head": ("head", config.model.head),
        "model.init": ("init", config.model.init),
        "optim.name": ("optimizer", config.optim.name),
        "schedule.name": ("schedule", config.schedule.name),
        "objective.name": ("objective", config.objective.name),
        "augment": ("policy", config.augment if "augment" in asked.values else ""),
        "augment_after": ("policy", config.augment_after if config.augment_until else ""),
    }
    if not isinstance(config, FinetuneConfig):  # in finetune the weights decide the architecture
        with located(asked.origins, keys=["model.arch"]):
            names = {"model.block": ("block", final_arch(config.model).block), **names}
    for key, (kind, name) in names.items():
        if name and name not in registry.names(kind):
            with located(asked.origins, keys=[key]):
                _require_one(kind, name)
                registry.find(kind, name)


def _require_one(kind: Kind, name: str) -> None:
    """Raise `UsageError` for the names of several policies, such as `shift+mixup`, where one is needed."""
    parts = re.split(r"\s*[+,]\s*", name)
    if kind == "policy" and len(parts) > 1 and set(parts) <= set(registry.names("policy")):
        raise UsageError(
            f"'{name}' names {len(parts)} policies, and a run uses one at a time",
            hint=[
                Call(
                    "plugins new",
                    ("my-policy",),
                    {"kind": "policy"},
                    note="starts a policy of your own; it may do both",
                ),
                Setting("augment_after", parts[-1], note="with augment_until: the second policy after an epoch"),
            ],
        )


def _of_finetune(asked: Layer) -> list[str]:
    """Return the keys of a finetune run's file that only `finetune` uses. Keys given by hand are errors."""
    return [
        key
        for key in asked.values
        if key in FinetuneConfig.model_fields.keys() - TrainConfig.model_fields.keys()
        and not is_by_hand(asked.origins[key])
    ]


def _require_from_scratch(asked: Layer, file: str | Path | None) -> None:
    """Raise `ConfigError` if the config file is that of a finetune run."""
    own = [key for key in _of_finetune(asked) if asked.origins[key].rpartition(":")[0] == str(file)]
    if own:
        raise ConfigError(
            f"this is the config of a finetune run: train has no '{own[0]}'",
            where=str(file),
            hint=Call("finetune", settings={"config": str(file)}),
        )


def _require_policy(name: str, origin: str) -> None:
    """Raise `PluginError` when a dataset's card names a policy that is not installed."""
    if not origin.startswith("dataset "):
        return
    try:
        registry.find("policy", name)
    except UsageError:
        raise PluginError(
            f"the card of {origin} asks for the policy '{name}', and no installed plugin has it",
            where=Setting("augment"),
            hint=[
                Setting("augment", "standard", note="trains without it"),
                f"or install the plugin that provides the policy '{name}'",
            ],
        ) from None


def _require_free(asked: Layer, request: RunRequest) -> None:
    """Raise `UsageError` when a flag or an argument fixes a value that `budget` or `tune` chooses."""
    choices = (
        (bool(request.budget) and not request.shortens, "budget", "the length of the run", ("epochs", "steps")),
        (request.tune, "tune", "the threads", ("threads",)),
    )
    for wanted, name, choice, keys in choices:
        fixed = [key for key in keys if is_by_hand(asked.origins.get(key, ""))]
        if wanted and fixed:
            origin = asked.origins[fixed[0]]  # the flag for epochs also fixes `steps`
            raise UsageError(f"{name} chooses {choice}, and {origin} fixes it: give one of them", where=Setting(name))


def _architecture(weights: WeightsCard | None, *, asked: Layer) -> Layer:
    if weights is None:
        return Layer()
    arch = weights.arch
    head = {"head": weights.head.name} if weights.head is not None and "model.head" not in asked.values else {}
    return layer({"model": {"arch": arch.name, "block": arch.block, "stem": arch.stem, **head}}, "weights")
