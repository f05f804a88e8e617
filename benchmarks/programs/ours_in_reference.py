"""A control: the reference's loop with the network of resnetctl. It tells the gain of the network from the loop's."""

import torch
from torch import nn

from programs import reference
from resnetctl import registry
from resnetctl.models.resnet import build
from resnetctl.spec import ImageSpec


class Program(reference.Program):
    """See `programs.task.Program`."""

    def _net(self) -> nn.Module:
        first = {name: torch.from_numpy(value.copy()) for name, value in self.task.first_weights().items()}
        mean, std = (tuple(values.tolist()) for values in self.task.normalisation())
        image = ImageSpec(size=32, mean=mean, std=std)
        model = build(registry.get("arch", self.task.arch), classes=len(first["fc.bias"]), image=image)
        model.load_state_dict(first)
        return model
