"""Defaults that follow from the arch and the dataset's card; the arch that a config describes, and its plugins."""

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any

from resnetctl import registry
from resnetctl.config.layers import Layer, layer, nest, together
from resnetctl.config.schema import FinetuneConfig, ModelConfig, TrainConfig
from resnetctl.errors import ResnetctlError
from resnetctl.spec import WHOLE_PICTURE, Arch, DatasetCard, HeadCard, Plugins, Scalar, WeightsCard
from resnetctl.wording import counted

FEWEST_STEPS = 600  # 245 images for 20 epochs get batches of 16, 1,000 get 32
FULL_BATCH = 128  # images; SGD's learning rate of 0.1 in `TrainConfig` suits it
FINETUNE_BATCH = 64
SMALLEST_BATCH = 16
PHOTO = 64  # pixels; larger images are photos, not icons
DEEP = 50  # blocks
SHORT_STEPS, SHORT_WARMUP = 2000, "20%"  # of an SGD run; a deep network diverges in a short one that begins fast
FAST = 0.05  # learning rate; smaller ones need no warm-up
SHORT_DISTANCE, SHORT_RATE = 0.1, 0.002  # AdamW's learning rate x steps, at least, and the largest rate for it
FEW_VAL = 100  # val images; below, chance decides which epoch is the best on them
# keys whose default depends on data, network or weights, with the text of help screens
TRAIN_KEYS: Mapping[str, str] = {
    "epochs": "200; photos: 90",
    "augment": "standard; photos: resized-crop",
    "batch_size": f"{FULL_BATCH}; few images: {SMALLEST_BATCH} to {FULL_BATCH // 2}",
    "optim.name": "sgd; short run: adamw",
    "lr": f"0.1 for a batch of {FULL_BATCH}; adam, adamw: 0.001",
    "weight_decay": "0.0005; photos: 0.0001; adamw: 0.05",
    "warmup": f"0; from {DEEP} blocks on: 1; short run: {SHORT_WARMUP}; adam, adamw: 10%",
    "label_smoothing": "0, or as the dataset says",
    "val_fraction": "0.1, or as the dataset says",
    "sampler": "shuffle; remote data: windowed",
    "keep": "best; short run: last",
}
FINETUNE_KEYS: Mapping[str, str] = {  # the others are in recipe `finetune`
    "data": "required",
    "model.arch": "that of the weights",
    "augment": TRAIN_KEYS["augment"],
    "batch_size": f"{FINETUNE_BATCH}; few images: {SMALLEST_BATCH} or {FINETUNE_BATCH // 2}",
    "lr": "0.001; sgd: 0.02",
    "weight_decay": "0.05; sgd, adam: 0.0005",
    "sampler": TRAIN_KEYS["sampler"],
}
HEAD_KEYS = ("augment", "batch_size", "size", "sampler")  # what a head changes in finetune
DENSE_STEPS = 2000  # of a run with a head
FEW_SCENES = 1000  # training images with boxes or masks; below, more steps of smaller batches learn more
WHOLE_BATCH = 16  # images whose truth is about the whole picture
# one learning rate does not suit every optimizer; those of SGD are in `TrainConfig`
TRAIN_RATES: Mapping[str, Mapping[str, float | str]] = {
    "adam": {"lr": 0.001, "warmup": "10%"},
    "adamw": {"lr": 0.001, "weight_decay": 0.05, "warmup": "10%"},
}
# the recipe has AdamW's
FINETUNE_RATES: Mapping[str, Mapping[str, float]] = {
    "sgd": {"lr": 0.02, "weight_decay": 5e-4},
    "adam": {"weight_decay": 5e-4},
}


def suited(
    arch: Arch, card: DatasetCard, *, asked: Mapping[str, Any] | None = None, head: ModelConfig | None = None
) -> Layer:
    """Return the config values that suit `arch` on `card`; a default on the dataset's card wins over a rule.

    The origin of each value names the dataset, the arch or the rule that it comes from.

    Args:
        asked: what the user set, by dotted key. It decides the length of the run.
        head: the model's config, for its head.
    """
    if head is not None and head.head:
        return _with_head(head, card, asked=asked or {})
    large = card.image.size > PHOTO
    by_size = {
        "augment": "resized-crop" if large else "standard",
        "epochs": 90 if large else 200,
        "weight_decay": 1e-4 if large else 5e-4,
    }
    # He et al. 2015, 4.2: ResNet-110 needs a gentle start
    by_depth = {"warmup": 1.0} if sum(arch.depths) >= DEEP else {}
    by_card = {key: value for key, value in card.defaults.items() if key in TRAIN_KEYS}
    chosen = by_size | by_card | dict(asked or {})
    few_images = _for_few_images(card, chosen)
    return together(
        layer(by_depth, f"arch {arch.name}"),
        layer(by_size, f"dataset {card.name}"),
        few_images,
        _for_few_steps(card, {**chosen, **few_images.values}),
        _for_short_run(card, chosen),
        layer(by_card, f"dataset {card.name}"),
        _for_optimizer(asked or {}),
    )


def _order(card: DatasetCard) -> dict[str, Scalar]:
    """Return the sampler that a dataset asks for, if it does."""
    return {key: card.defaults[key] for key in ("sampler",) if key in card.defaults}


def _with_head(config: ModelConfig, card: DatasetCard, *, asked: Mapping[str, Any]) -> Layer:
    """Return the config values of a network with a head: AdamW, a warm-up, and about 2,000 steps.

    Batches have 8 images, or 4 at twice the learning rate where there are few: `benchmarks/dense.md` has measurements.
    With one label an image or several they have 16.
    """
    images = card.splits.get("train", 0)
    batch, rate = (4, 2e-3) if images < FEW_SCENES else (8, 1e-3)
    if card.truth in WHOLE_PICTURE:
        batch, rate = WHOLE_BATCH, 1e-3
    origin = f"head {config.head}"
    optimizer = asked.get("optim.name", "adamw")
    values: dict[str, Any] = {
        "augment": "standard",
        "batch_size": batch,
        "optim.name": optimizer,
        "weight_decay": 0.05 if optimizer == "adamw" else 1e-4,
        "lr": rate if optimizer in ("adam", "adamw") else 0.01,
        "grad_clip": 5.0,
        "warmup": "5%",
        "size": card.defaults.get("size", card.image.size),
        **_order(card),
    }
    if images and not asked.get("steps"):
        values["epochs"] = max(1, round(DENSE_STEPS * batch / images))
    return layer(nest(values), origin)


def _for_few_images(card: DatasetCard, chosen: Mapping[str, Any]) -> Layer:
    """Return the batch size, and the learning rate for it, of a run that has few steps; empty if these are chosen.

    SGD's learning rate follows the batch size linearly: Goyal et al. 2017, arXiv:1706.02677. `benchmarks/finetune.md`
    has measurements.
    """
    images, epochs = card.splits.get("train", 0), _epochs(chosen)
    batch_size = _batch_size(images * epochs, largest=FULL_BATCH)
    if not images * epochs or batch_size == FULL_BATCH or {"batch_size", "lr"} & chosen.keys():
        return Layer()
    values = {"batch_size": batch_size, "lr": 0.1 * batch_size / FULL_BATCH}
    return layer(values, _by_count(images, epochs))


def _for_few_steps(card: DatasetCard, chosen: Mapping[str, Any]) -> Layer:
    """Return the warm-up of an SGD run of few steps: `benchmarks/warmup.md` has measurements.

    The first steps at a high learning rate throw a deep network back, and a short run does not recover from it.
    """
    images, epochs = card.splits.get("train", 0), _epochs(chosen)
    steps = chosen.get("steps") or images * epochs / chosen.get("batch_size", FULL_BATCH)
    is_gentle = chosen.get("optim.name", "sgd") != "sgd" or chosen.get("lr", TrainConfig().lr) < FAST
    if is_gentle or not 0 < steps < SHORT_STEPS:
        return Layer()
    origin = _by_count(images, epochs) if epochs else f"rule: {counted(steps, 'step')}"
    return layer({"warmup": SHORT_WARMUP}, origin)


def _for_short_run(card: DatasetCard, chosen: Mapping[str, Any]) -> Layer:
    """Return AdamW and its values for a run that is too short for SGD; empty if other values of them are chosen.

    A run is short if batches of 16 do not make 600 steps. SGD is then still far from an answer, and for some seeds
    further than for others. AdamW moves every weight by about the learning rate from the first step on, so the
    rate is higher where the steps are few. The last epoch has the smallest learning rate, and few val images do not
    show that another one is better.
    """
    images, epochs = card.splits.get("train", 0), _epochs(chosen)
    is_fixed = any(key in ("batch_size", "lr") or key.startswith("optim.") for key in chosen)
    if is_fixed or not 0 < images * epochs < FEWEST_STEPS * SMALLEST_BATCH:
        return Layer()
    val = card.splits.get("val", 0) or images * chosen.get("val_fraction", TrainConfig().val_fraction)
    values: dict[str, Any] = {"optim.name": "adamw", **TRAIN_RATES["adamw"]}
    far_enough = SHORT_DISTANCE * SMALLEST_BATCH / (images * epochs)
    values["lr"] = round(min(SHORT_RATE, max(values["lr"], far_enough)), 4)
    if val < FEW_VAL and not chosen.get("early_stop"):
        values["keep"] = "last"
    return layer(nest(values), _by_count(images, epochs))


def _for_optimizer(asked: Mapping[str, Any]) -> Layer:
    """Return the learning rate of an adaptive optimizer of the user. Those of rules and of datasets are for SGD."""
    optimizer = asked.get("optim.name", "")
    return layer({} if "lr" in asked else TRAIN_RATES.get(optimizer, {}), f"rule: {optimizer}")


def _epochs(chosen: Mapping[str, Any]) -> int:
    """Return the epochs of a run, 0 if its length is a number of steps."""
    return 0 if chosen.get("steps") else int(chosen["epochs"])


def suited_to_finetune(config: FinetuneConfig, card: DatasetCard, *, weights: WeightsCard | None = None) -> Layer:
    """Return the config values that suit finetuning on `card`; the others are in recipe `finetune`.

    A small set gets small batches, because what a short run lacks is steps. Another optimizer than the recipe's gets a
    learning rate and a weight decay of its own. `benchmarks/finetune.md` has the measurements.

    Args:
        config: the recipe and what the user set: its length and its optimizer decide.
        weights: the card of the weights; None while it is unknown.
    """
    if config.model.head or card.truth != "labels":
        own = _with_head(config.model, card, asked={"optim.name": config.optim.name})
        kept = {key: value for key, value in own.values.items() if key in HEAD_KEYS}
        return layer(nest(kept), f"head {config.model.head}")
    size = config.size or (weights or card).image.size
    augment = card.defaults.get("augment", "resized-crop" if size > PHOTO else "standard")
    images = card.splits.get("train", 0)
    shown = images * config.epochs
    by_count = {"batch_size": _batch_size(shown, largest=FINETUNE_BATCH)} if shown else {}
    optimizer = config.optim.name
    return together(
        layer({"augment": augment, **_order(card)}, f"dataset {card.name}"),
        layer(by_count, _by_count(images, config.epochs)),
        layer(FINETUNE_RATES.get(optimizer, {}), f"rule: {optimizer}"),
    )


def _batch_size(shown: int, *, largest: int) -> int:
    """Return the largest power of two that makes `FEWEST_STEPS` steps of `shown` images, within the limits."""
    return min(largest, max(SMALLEST_BATCH, 1 << (max(1, shown // FEWEST_STEPS).bit_length() - 1)))


def _by_count(images: int, epochs: int) -> str:
    """Return the origin of a value that follows from the number of images and epochs."""
    return f"rule: {counted(images, 'image')}, {counted(epochs, 'epoch')}"


def final_arch(model: ModelConfig) -> Arch:
    """Return the arch that `model` describes. The config's block arguments override those of the arch.

    If the config names another block, the block arguments of the arch are dropped.

    Raises:
        UsageError: no arch has this name.
        PluginError: the plugin of the arch is broken.
    """
    arch = registry.get("arch", model.arch)
    block = model.block or arch.block
    block_args = ({} if block != arch.block else dict(arch.block_args)) | model.block_args
    changed = dataclasses.replace(
        arch,
        block=block,
        block_args=block_args,
        summary=arch.summary if block == arch.block else f"{arch.name} with block {block}",
        stem=model.stem or arch.stem,
        activation=model.activation or arch.activation,
        norm=model.norm or arch.norm,
    )
    as_published = changed == dataclasses.replace(arch, stem=changed.stem)
    return changed if as_published else dataclasses.replace(changed, params=None)


def other_block(arch: str, block: str) -> str | None:
    """Return the block's name if it is not that of the registered arch, else an empty string; None for unknown archs.

    A compressed network keeps the block of its arch: `resnet20` of `resnet20-blocks-2-2-2-channels`.
    """
    base = arch.removesuffix("-channels").partition("-blocks-")[0]
    with contextlib.suppress(ResnetctlError):  # weights may name an arch that is not registered here
        return "" if registry.get("arch", base).block == block else block
    return None


def described(arch: Arch) -> dict[str, Any]:
    """Return the keys of `[model]` that describe an arch, for `final_arch` to build it again."""
    names = ("block", "stem", "activation", "norm")
    return {"arch": arch.name, "block_args": dict(arch.block_args)} | {name: getattr(arch, name) for name in names}


def plugins_of(config: TrainConfig, arch: Arch, *, head: HeadCard | None) -> Plugins:
    """Return the distributions that a run of `config` uses, and those that its weights require."""
    required = registry.distribution_of("block", arch.block)
    if head is not None:
        required |= registry.distribution_of("head", head.name) | registry.distribution_of("task", head.task)
    named = {"policy": config.augment, "optimizer": config.optim.name, "schedule": config.schedule.name}
    named |= {"objective": config.objective.name} | ({"init": config.model.init} if config.model.init else {})
    used = required.copy()
    for kind, name in named.items():
        used |= registry.distribution_of(kind, name)
    used |= registry.distribution_of("policy", config.augment_after) if config.augment_until else {}
    if config.data in registry.names("dataset"):
        used |= registry.distribution_of("dataset", config.data)
    return Plugins(required=required, used=used)
