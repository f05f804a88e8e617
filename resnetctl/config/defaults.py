"""Defaults that follow from the architecture's family and the dataset's card, and the arch that a config means."""

import dataclasses
from typing import Any

from resnetctl import registry
from resnetctl.config.schema import ModelConfig
from resnetctl.spec import Arch, DatasetCard

TRAIN_KEYS = (
    "epochs",
    "augment",
    "batch_size",
    "lr",
    "weight_decay",
    "warmup",
    "label_smoothing",
    "val_fraction",
)


def suited(arch: Arch, card: DatasetCard) -> dict[str, Any]:
    """Config values that suit `arch` on `card`; the dataset's own defaults win over the family's."""
    large = card.image.size > 64
    values: dict[str, Any] = {
        "augment": "resized-crop" if large else "standard",
        "epochs": 90 if large else 200,
        "weight_decay": 1e-4 if large else 5e-4,
    }
    if sum(arch.depths) >= 50:  # He et al. 2015, 4.2: ResNet-110 needs a gentle start
        values["warmup"] = 1.0
    return values | {key: value for key, value in card.defaults.items() if key in TRAIN_KEYS}


def suited_to_finetune(card: DatasetCard, size: int) -> dict[str, Any]:
    """What suits `card` for a net of `size` pixels that is trained already; the rest is the `finetune` recipe."""
    return {"augment": card.defaults.get("augment", "resized-crop" if size > 64 else "standard")}


def final_arch(model: ModelConfig) -> Arch:
    """The arch that `model` describes: another block drops the arch's block arguments, given ones are laid over.

    Raises `UsageError` or `PluginError` when the arch is unknown or broken.
    """
    arch = registry.get("arch", model.arch)
    block = model.block or arch.block
    block_args = ({} if model.block else dict(arch.block_args)) | model.block_args
    as_published = block == arch.block and block_args == dict(arch.block_args)
    return dataclasses.replace(
        arch,
        block=block,
        block_args=block_args,
        stem=model.stem or arch.stem,
        params=arch.params if as_published else None,
    )
