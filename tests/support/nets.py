"""A small training set-up for the tests of the engine."""

from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from resnetctl.config.schema import ScheduleConfig, TrainConfig
from resnetctl.data.loader import Feed, steps_per_epoch
from resnetctl.engine.loop import Plan, TrainState
from resnetctl.engine.optim import build_optimizer
from resnetctl.engine.schedule import factors, scale
from resnetctl.spec import Batch, ImageSpec

CPU = torch.device("cpu")
IMAGE = ImageSpec(size=4, channels=1, mean=(0.5,), std=(0.25,))


def image_set(count: int = 10, classes: int = 3) -> SimpleNamespace:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, classes, count)
    images = (generator.integers(0, 100, (count, 4, 4, 1)) + labels[:, None, None, None] * 70).astype(np.uint8)
    names = tuple("abc"[:classes])
    return SimpleNamespace(
        images=images, labels=labels, index=np.arange(count), classes=names, truth=None, vectors=None
    )


class ImageList(SimpleNamespace):
    def __len__(self) -> int:
        return len(self.index)

    def check(self, rows: np.ndarray) -> None:
        """Do nothing: these images are not stored, so they cannot be damaged."""


def model(dropout: float = 0.0) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Dropout(dropout),
        nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten()),  # 4x4 images keep their size
        nn.Linear(64, 3),
    )


def shake(batch: Batch) -> Batch:
    """Augment a batch with noise from the global generator."""
    noise = torch.randint(0, 9, batch.images.shape)
    return Batch(
        images=(batch.images.long() + noise).clamp(0, 255).to(torch.uint8),
        targets=batch.targets,
        index=batch.index,
        epoch=batch.epoch,
        step=batch.step,
    )


def make(count: int = 10, *, steps: int = 12, dropout: float = 0.0, ema: float = 0.0, **plan: object):
    """Return a fresh state and a plan over `count` images in batches of 4."""
    data = ImageList(**vars(image_set(count)))
    net = model(dropout).to(memory_format=torch.channels_last)
    config = TrainConfig(epochs=0, steps=steps, lr=0.05)
    how = {"ema_decay": ema, "precision": plan.get("precision", "fp32")}
    state = TrainState.fresh(net, build_optimizer(net, config, head=()), device=CPU, **how)
    values = {
        "feed": Feed(data, IMAGE, CPU),
        "augment": shake,
        "image": IMAGE,
        "side": lambda step: IMAGE.size,
        "steps": steps,
        "steps_per_epoch": steps_per_epoch(count, 4),
        "batch_size": 4,
        "seed": 7,
        "learning_rate": lambda step: 0.05 * scale(step, steps=steps, warmup=2, factor=factors(ScheduleConfig())),
    }
    return state, Plan(**(values | plan))
