"""timm as its training script has it: `create_loader` with fast collate and prefetcher, channels-last.

The crop with padding is not among timm's transforms, so it takes the place of those that `create_loader` made; the
loader converts and normalises whole batches. No AMP: it is slower on a CPU without bf16 arithmetic.
"""

from typing import Any

import numpy as np
import torch
from timm.data import create_loader
from timm.data.transforms import MaybePILToTensor
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import AverageMeter
from torch import nn
from torchvision import transforms

from programs import plain
from programs.task import DECAY, LR, MOMENTUM, PAD, Array, Step, Task


class Program:
    """See `programs.task.Program`. The variant is the number of worker processes."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def train(self, step: Step, epochs: int) -> None:
        model = self._net()
        criterion = nn.CrossEntropyLoss()
        optimizer = create_optimizer_v2(model, "sgd", lr=LR, momentum=MOMENTUM, weight_decay=DECAY)
        loader = self._loader()
        scheduler, _ = create_scheduler_v2(
            optimizer, num_epochs=epochs, updates_per_epoch=len(loader), step_on_epochs=False
        )
        losses, updates = AverageMeter(), 0
        for _ in range(epochs):
            model.train()
            for images, targets in loader:
                images = images.contiguous(memory_format=torch.channels_last)
                loss = criterion(model(images), targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.update(loss.item(), images.size(0))
                updates += 1
                scheduler.step_update(num_updates=updates, metric=losses.avg)
                step(len(images))

    def logits(self, pictures: Array) -> Array:
        return plain.logits(self._net(), self.task, pictures=pictures)

    def inputs(self) -> Array:
        return np.concatenate([images.numpy() for images, _ in self._loader()])

    def _net(self) -> nn.Module:
        return plain.net(self.task).to(memory_format=torch.channels_last)

    def _loader(self) -> Any:
        mean, std = (tuple(values.tolist()) for values in self.task.normalisation())
        loader = create_loader(
            plain.Pictures(self.task, None),
            input_size=(3, 32, 32),
            batch_size=self.task.batch,
            is_training=True,
            mean=mean,
            std=std,
            num_workers=self.task.number,
            device=torch.device("cpu"),
        )
        augment = [transforms.RandomCrop(32, padding=PAD), transforms.RandomHorizontalFlip(), MaybePILToTensor()]
        loader.dataset.transform = transforms.Compose(augment)
        return loader
