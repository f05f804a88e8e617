"""What torchvision's, timm's and Lightning's users write themselves: the network of the paper, and a data set.

The network is He et al. 2015, section 4.2, with shortcuts of option A as the public CIFAR repositories write them: a
strided slice, padded with zero channels. Module names are torchvision's, so that one file of weights fits all.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision import transforms

from programs.task import PAD, Array, Task


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.stride, self.growth = stride, outside - inside

    def forward(self, images: Tensor) -> Tensor:
        """`(B, inside, H, W)` to `(B, outside, H / stride, W / stride)`."""
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(images)))))
        if self.growth:
            half = self.growth // 2
            images = F.pad(images[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, half))
        return F.relu(out + images)


class Net(nn.Module):
    """ResNet-20, -32, .. -110 for 32x32 pictures."""

    def __init__(self, depth: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1, self.layer2, self.layer3 = (_stage(width, (depth - 2) // 6) for width in (16, 32, 64))
        self.fc = nn.Linear(64, classes)

    def forward(self, images: Tensor) -> Tensor:
        """`(B, 3, 32, 32)` to logits `(B, classes)`."""
        out = F.relu(self.bn1(self.conv1(images)))
        out = self.layer3(self.layer2(self.layer1(out)))
        return self.fc(out.mean((2, 3)))


class Pictures(Dataset[tuple[Any, int]]):
    """Decoded pictures, each made a PIL image when it is asked for, as `torchvision.datasets.CIFAR10` does."""

    def __init__(self, task: Task, transform: Callable[..., Any] | None) -> None:
        self.images, self.labels = task.pictures()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image: Any = Image.fromarray(self.images[index])
        return image if self.transform is None else self.transform(image), int(self.labels[index])


def net(task: Task) -> Net:
    """The network with the task's first weights."""
    first = {name: torch.from_numpy(value.copy()) for name, value in task.first_weights().items()}
    model = Net(int(task.arch.removeprefix("resnet")), classes=len(first["fc.bias"]))
    model.load_state_dict(first)
    return model


def transform(task: Task) -> transforms.Compose:
    """Crop, mirror, to float, normalise: torchvision's reference, with the crop of CIFAR."""
    mean, std = task.normalisation()
    return transforms.Compose(
        [
            transforms.RandomCrop(32, padding=PAD),
            transforms.RandomHorizontalFlip(),
            transforms.PILToTensor(),
            transforms.ConvertImageDtype(torch.float),
            transforms.Normalize(mean.tolist(), std.tolist()),
        ]
    )


def logits(model: nn.Module, task: Task, *, pictures: Array) -> Array:
    """What `model` answers to uint8 pictures, in evaluation mode."""
    mean, std = (torch.tensor(values, dtype=torch.float32).view(3, 1, 1) for values in task.normalisation())
    images = (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255 - mean) / std
    with torch.inference_mode():
        return model.eval()(images).numpy()


def _stage(width: int, depth: int) -> nn.Sequential:
    first = width if width == 16 else width // 2
    blocks = [Block(first, width, 1 if width == 16 else 2), *(Block(width, width, 1) for _ in range(depth - 1))]
    return nn.Sequential(*blocks)
