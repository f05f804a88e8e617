"""A tiny stored dataset for tests that train: three classes of small grey images, easy but not trivial."""

from pathlib import Path

import numpy as np

from resnetctl.data.store import build
from resnetctl.spec import DatasetCard, ImageSpec

CLASSES = ("dark", "middle", "bright")


def tiny(
    data_dir: Path,
    name: str = "tiny",
    *,
    train: int = 60,
    test: int = 15,
    classes: tuple[str, ...] = CLASSES,
    size: int = 8,
) -> None:
    """Write the dataset `name`; `train` and `test` count images over all classes, `size` is a side in pixels."""
    card = DatasetCard(
        name=name,
        classes=classes,
        image=ImageSpec(size=size, channels=1, mean=(0.5,), std=(0.25,)),
        splits={"train": train, "test": test},
        defaults={"epochs": 3, "augment": "shift", "batch_size": 16, "lr": 0.05, "mirror": False},
    )
    generator = np.random.default_rng(3)
    with build(data_dir, name, draft=card) as builder:
        for split, count in (("train", train), ("test", test)):
            for row in range(count):
                label = row % len(classes)
                noise = generator.integers(-40, 40, (size, size, 1))
                image = np.clip(60 + label * 60 + noise, 0, 255).astype(np.uint8)
                builder.add(split, image, label=classes[label], name=f"{split}/{row}.png", sha256="")
