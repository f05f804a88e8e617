"""What a run with a head needs besides: the head that suits the data, its anchors, and its number on val."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypedDict, Unpack

from torch import nn

from resnetctl import registry
from resnetctl.config.schema import ObjectiveConfig, TrainConfig
from resnetctl.data.splits import ImageSet, eval_inputs, eval_truth
from resnetctl.engine.meters.run import measure_net
from resnetctl.engine.predictors import net_predictor
from resnetctl.errors import ConfigError
from resnetctl.hints import Call, Hint, Setting
from resnetctl.models.dense import head_card, reads_vector
from resnetctl.spec import Calibration, DatasetCard, HeadCard, ImageSpec, Measured, Meter, VectorSpec
from resnetctl.training.policy_schedule import require_kept

VAL_BATCH = 32  # images
# Settings that shape the loss of classifiers; a head brings its own loss.
OF_CLASSIFIERS: Mapping[str, Any] = {"label_smoothing": 0.0, "class_weights": "none"}


def require_head(config: TrainConfig, card: DatasetCard) -> None:
    """Raise `ConfigError` unless the head, or the lack of one, suits what is known of the images."""
    name, heads = config.model.head, heads_for(card.truth)
    listing = Call("plugins list", settings={"kind": "head"})
    choices: list[Hint] = [Setting("model.head", head) for head in heads]
    choices = choices or ["install a plugin that brings a head for them"]
    if card.truth != "labels" and not name:
        raise ConfigError(
            f"'{card.name}' has {card.truth}: a head learns from them", where=Setting("model.head"), hint=choices
        )
    if not name:
        return
    wanted = registry.get("task", registry.get("head", name).task).truth
    if wanted != card.truth:
        raise ConfigError(
            f"head '{name}' learns from {wanted}, and '{card.name}' has {card.truth}",
            where=Setting("model.head"),
            hint=[*choices, listing] if card.truth != "labels" else [Call("data list"), listing],
        )
    if reads_vector(registry.get("head", name)) and card.vector is None:
        raise ConfigError(
            f"head '{name}' reads numbers that come with each image, and '{card.name}' has none",
            where=Setting("model.head"),
            hint=Call("data add", ("PATH",), {"vectors": "FILE.csv"}),
        )
    if reads_vector(registry.get("head", name)):
        require_kept(config, "vectors")
    changed = [key for key, default in OF_CLASSIFIERS.items() if getattr(config, key) != default]
    changed += ["distill.teacher"] if config.distill.teacher else []
    changed += ["objective.name"] if config.objective != ObjectiveConfig() else []
    if changed:
        raise ConfigError(
            f"head '{name}' brings its own loss", where=Setting(changed[0]), hint="leave this setting out"
        )


def heads_for(truth: str) -> list[str]:
    """Return the heads whose task learns from `truth`, first choices first; none for labels, which need no head."""
    if truth == "labels":
        return []
    tasks = {name for name in registry.names("task") if registry.get("task", name).truth == truth}
    heads = {name: registry.get("head", name) for name in registry.names("head")}
    fitting = [name for name, head in heads.items() if head.task in tasks]
    return sorted(fitting, key=lambda name: not getattr(heads[name], "is_first_choice", False))


def chosen_head(
    config: TrainConfig, train: ImageSet, *, image: ImageSpec, vector: VectorSpec | None = None
) -> HeadCard | None:
    """Return the head of the config; None without a head.

    It has anchors that are fitted to the boxes of train if it fits them, and the numbers of train if it reads them.
    """
    name = config.model.head
    if not name:
        return None
    fit = getattr(registry.get("head", name), "fit_anchors", None)
    fitted: dict[str, Any] = {}
    if fit is not None and train.truth is not None:
        import torch

        whole = train.truth.tensors()
        boxes = whole.take(torch.from_numpy(train.index)).resize(train.truth.side, size=image.size)
        with registry.guarded("head", name):
            found = fit(boxes.boxes, boxes.labels, image)  # type: ignore[union-attr]  # only boxes have anchors
            fitted = json.loads(json.dumps(found, allow_nan=False))  # what the card cannot hold is the plugin's mistake
    return head_card(name, config.model.head_args, fitted=fitted, vector=vector)


class How(TypedDict, total=False):
    """Where and how a network is measured, and the meter; by default a new one of its task."""

    device: Any
    precision: str
    meter: Meter


def validate_net(net: nn.Module, images: ImageSet, *, image: ImageSpec, head: HeadCard, **how: Unpack[How]) -> Measured:
    """Measure a network with a head on val."""
    precision = how.get("precision", "fp32")
    predict = net_predictor(net, image, device=how["device"], precision=precision, vector=head.vector)
    inputs = eval_inputs(images, image, vector=head.vector, batch_size=VAL_BATCH)
    truths = eval_truth(images, image, batch_size=VAL_BATCH)
    meter = how.get("meter") or registry.get("task", head.task).meter(images.classes)
    return measure_net(predict, zip(inputs, truths, strict=True), meter=meter)


def chosen_thresholds(
    build: Callable[[], nn.Module], images: ImageSet, *, image: ImageSpec, head: HeadCard, device: Any
) -> Calibration | None:
    """Return the thresholds of the classes that val chooses; None for a task without them.

    The pass runs what `eval` and `predict` run, in float32. `build` returns the network.
    """
    meter = registry.get("task", head.task).meter(images.classes)
    if not hasattr(meter, "thresholds"):
        return None
    validate_net(build().to(device), images, image=image, head=head, meter=meter, device=device)
    return Calibration(temperature=1.0, sets={}, images=len(images), thresholds=tuple(meter.thresholds()))
