"""A small dataset, small weights and a run with them, for the tests of everything after training."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from resnetctl import runs
from resnetctl.data.splits import open_sets
from resnetctl.data.store import Store, build, open_store
from resnetctl.models.resnet import ResNet
from resnetctl.models.resnet import build as build_net
from resnetctl.spec import Arch, DatasetCard, ImageSpec, WeightsCard
from resnetctl.system import settings
from resnetctl.weights.file import to_bytes

ARCH = Arch(name="tiny", block="basic", depths=(1, 1), widths=(4, 8), stem="cifar", block_args={"shortcut": "A"})
IMAGE = ImageSpec(size=8, channels=1, mean=(0.4,), std=(0.3,))
CLASSES = ("ape", "bee", "cow")
PER_CLASS = {"train": 30, "test": 12}


def make_store(*, name: str = "zoo", classes: tuple[str, ...] = CLASSES, splits: dict[str, int] | None = None) -> Store:
    """Store `PER_CLASS` grey 8x8 images for each class and split: noise whose brightness depends on the class."""
    generator = np.random.default_rng(0)
    folder = settings.load().data_dir
    draft = DatasetCard(name=name, classes=classes, image=IMAGE, splits={})
    with build(folder, name, draft=draft) as builder:
        for split, count in (splits or PER_CLASS).items():
            for number in range(count):
                for label in sorted(classes):
                    noise = generator.integers(0, 60, (8, 8, 1)) + 60 * (ord(label[0]) % 4)
                    builder.add(split, noise.astype(np.uint8), label=label, name=f"{label}{number}", sha256="")
    return open_store(folder, name)


def network(seed: int = 0, *, classes: int = 3) -> ResNet:
    """Return an untrained network whose batch-norm statistics, weights and biases all change the output."""
    torch.manual_seed(seed)
    model = build_net(ARCH, classes=classes, image=IMAGE).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor, low, high in (
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.5, 2.0),
                (module.weight, 0.5, 2.0),
                (module.bias, -0.3, 0.3),
            ):
                torch.nn.init.uniform_(tensor, low, high)
    return model


def card(store: Store | None = None, *, val_fraction: float = 0.2, **changes: Any) -> WeightsCard:
    """Return the card that training on `store` would write."""
    whole = WeightsCard(arch=ARCH, classes=CLASSES, image=IMAGE, version="0.1.0")
    if store is not None:
        _, _, split = open_sets(store, val_fraction=val_fraction, seed=3)
        trained_on = {"name": store.card.name, "digest": store.card.digests["train"]}
        whole = dataclasses.replace(whole, classes=store.card.classes, trained_on=trained_on, split=split)
    return dataclasses.replace(whole, **changes)


def make_run(described: WeightsCard, *, name: str = "first", finished: bool = True) -> runs.RunDir:
    """Create a run with the weights of `network()`."""
    run = runs.create(settings.load().runs_dir, name, config="", sources={}, env={})
    run.save_weights(to_bytes(network(classes=len(described.classes)).state_dict(), described))
    if finished:
        run.save_summary({"status": "finished"})
    return run


def make_pictures(folder: Path, count: int = 5) -> Path:
    """Write PNG files `0.png`, ... of different shapes, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(1)
    for number in range(count):
        pixels = generator.integers(0, 256, (9 + number, 12, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder
