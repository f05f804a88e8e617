"""A loop that behaves as torchvision's classification reference does in public: PIL per image, DataLoader, NCHW.

It reads loss and accuracy with `.item()` after every step, and takes SGD as torch makes it.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from programs import plain
from programs.task import DECAY, LR, MOMENTUM, Array, Step, Task


class Program:
    """See `programs.task.Program`. The variant is the number of worker processes."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def train(self, step: Step, epochs: int) -> None:
        model = self._net()
        criterion = nn.CrossEntropyLoss()
        optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=DECAY)
        loader = self._loader()
        model.train()
        for _ in range(epochs):
            seen, total, right = 0, 0.0, 0.0
            for images, targets in loader:
                output = model(images)
                loss = criterion(output, targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                top1, top5 = accuracy(output, targets)
                seen += len(images)
                total += loss.item() * len(images)
                right += top1.item() + 0 * top5.item()
                step(len(images))

    def logits(self, pictures: Array) -> Array:
        return plain.logits(self._net(), self.task, pictures=pictures)

    def inputs(self) -> Array:
        return np.concatenate([images.numpy() for images, _ in self._loader()])

    def _net(self) -> nn.Module:
        return plain.net(self.task)

    def _loader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        pictures = plain.Pictures(self.task, plain.transform(self.task))
        return DataLoader(pictures, self.task.batch, shuffle=True, num_workers=self.task.number)


def accuracy(output: Tensor, targets: Tensor) -> list[Tensor]:
    """Correct ones among the first and the five largest logits, as the reference counts them."""
    with torch.inference_mode():
        best = output.topk(5, 1, largest=True, sorted=True)[1].t()
        hits = best.eq(targets[None])
        return [hits[:count].flatten().sum(dtype=torch.float32) for count in (1, 5)]
