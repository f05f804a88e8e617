"""Published recipes of other programs, as loops that their users write: for the accuracy in a given time.

Each trains the network of `programs.plain` in float32. Their epochs are shortened to the steps that there is time for;
warm-up and drops of the learning rate keep their shares.

- torchvision: `references/classification/train.py`, defaults and the README's line for ResNets: 8 processes with
  batches of 32, SGD at .1 with momentum .9 and decay 1e-4, divided by 10 after 30 and 60 of 90 epochs, random resized
  crops, mirrored by coins.
- timm: the defaults of `train.py`: batches of 128, SGD with Nesterov momentum .9, decay 2e-5, .1 for a batch of 256 and
  in proportion, cosine over 300 epochs after 5 of warm-up from 1e-5, random resized crops in random interpolation,
  mirrored by coins, colour jitter .4, labels smoothed by .1.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from programs.plain import Net
from programs.task import Array

WARM, TIMED = 2, 4  # steps that are not counted, and steps that are


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Uint8 `(N, 32, 32, 3)`, labels `(N,)`, and mean and std of each channel in 0..1."""

    images: Array
    labels: Array
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """`transform` of a PIL image for (mean, std); `optimizer` of a model with its learning rate by share of the run."""

    batch: int
    transform: Callable[[tuple[float, ...], tuple[float, ...]], Callable[[Any], Tensor]]
    optimizer: Callable[[nn.Module], torch.optim.Optimizer]
    learning_rate: Callable[[float], float]
    loss: nn.Module


class _Augmented(Dataset[tuple[Tensor, int]]):
    def __init__(self, train: Pictures, recipe: Recipe) -> None:
        self.train, self.transform = train, recipe.transform(train.mean, train.std)

    def __len__(self) -> int:
        return len(self.train.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.train.images[index])), int(self.train.labels[index])


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained network, and what it took: steps, epochs and seconds of CPU time."""

    model: nn.Module
    steps: int
    epochs: float
    seconds: float


def trained(name: str, train: Pictures, *, depth: int, seconds: float, seed: int) -> Trained:
    """Train ResNet-`depth` by a recipe for about `seconds` of CPU time, on as many threads as torch has."""
    recipe = RECIPES[name]()
    timed = _steps(recipe, train, depth=depth, seed=seed, steps=10**6)
    for _ in range(WARM):
        next(timed)
    begun = time.process_time()
    for _ in range(TIMED):
        next(timed)
    steps = max(1, round(seconds / (time.process_time() - begun) * TIMED))
    begun = time.process_time()
    *_, model = _steps(recipe, train, depth=depth, seed=seed, steps=steps)
    epochs = steps * recipe.batch / len(train.labels)
    return Trained(model=model, steps=steps, epochs=epochs, seconds=time.process_time() - begun)


def _steps(recipe: Recipe, train: Pictures, *, depth: int, seed: int, steps: int) -> Iterator[nn.Module]:
    torch.manual_seed(seed)
    model = Net(depth, classes=int(train.labels.max()) + 1).to(memory_format=torch.channels_last)
    optimizer = recipe.optimizer(model)
    loader = DataLoader(_Augmented(train, recipe), recipe.batch, shuffle=True, drop_last=True)
    done = 0
    model.train()
    while True:
        for images, labels in loader:
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate(done / steps)
            loss = recipe.loss(model(images.contiguous(memory_format=torch.channels_last)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
            yield model
            if done >= steps:
                return


def judged(model: nn.Module, val: Pictures) -> tuple[float, float]:
    """Return mean cross-entropy and accuracy."""
    mean, std = (torch.tensor(values, dtype=torch.float32).view(3, 1, 1) for values in (val.mean, val.std))
    parts = []
    with torch.inference_mode():
        for part in np.array_split(val.images, max(1, len(val.labels) // 500)):
            parts.append(model.eval()((torch.from_numpy(part).permute(0, 3, 1, 2).float() / 255 - mean) / std))
    logits, labels = torch.cat(parts), torch.from_numpy(val.labels)
    return nn.functional.cross_entropy(logits, labels).item(), (logits.argmax(1) == labels).float().mean().item()


def _torchvision() -> Recipe:
    from torchvision import transforms

    def transform(mean: tuple[float, ...], std: tuple[float, ...]) -> Callable[[Any], Tensor]:
        composed: Callable[[Any], Tensor] = transforms.Compose(
            [
                transforms.RandomResizedCrop(32, antialias=True),
                transforms.RandomHorizontalFlip(),
                transforms.PILToTensor(),
                transforms.ConvertImageDtype(torch.float),
                transforms.Normalize(mean, std),
            ]
        )
        return composed

    return Recipe(
        batch=256,
        transform=transform,
        optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4),
        learning_rate=lambda done: 0.1 * 0.1 ** int(3 * done),
        loss=nn.CrossEntropyLoss(),
    )


def _timm() -> Recipe:
    from timm.data import create_transform
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.optim import create_optimizer_v2

    peak, warm_up = 0.1 * 128 / 256, 5 / 300

    def learning_rate(done: float) -> float:
        if done < warm_up:
            return 1e-5 + (peak - 1e-5) * done / warm_up
        return peak * 0.5 * (1 + float(np.cos(np.pi * done)))

    def transform(mean: tuple[float, ...], std: tuple[float, ...]) -> Callable[[Any], Tensor]:
        made: Callable[[Any], Tensor] = create_transform(
            32, is_training=True, color_jitter=0.4, interpolation="random", mean=mean, std=std
        )
        return made

    return Recipe(
        batch=128,
        transform=transform,
        optimizer=lambda model: create_optimizer_v2(model, "sgd", lr=peak, momentum=0.9, weight_decay=2e-5),
        learning_rate=learning_rate,
        loss=LabelSmoothingCrossEntropy(0.1),
    )


RECIPES = {"torchvision": _torchvision, "timm": _timm}
