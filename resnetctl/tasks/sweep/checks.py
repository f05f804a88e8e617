"""Check the arguments of plugins in a config before any data is read: a sweep does so for every run."""

import torch
from torch import nn

from resnetctl.config.defaults import final_arch
from resnetctl.config.draft import Draft
from resnetctl.config.schema import TrainConfig
from resnetctl.data import policies
from resnetctl.engine import objective
from resnetctl.engine.optim import build_optimizer
from resnetctl.engine.schedule import factors
from resnetctl.models.resnet import build
from resnetctl.spec import ImageSpec

CLASSES = 10


def require_usable(made: Draft[TrainConfig]) -> None:
    """Build what a draft names, from its own arguments: the network without memory, the policy, the optimizer ...

    A policy that the dataset chooses is left out.

    Raises:
        ConfigError: one of them does not have an argument, or refuses its value.
        PluginError: the plugin cannot be loaded or fails.
    """
    config, arch = made.config, final_arch(made.config.model)
    image = ImageSpec(size=config.size or arch.reference[1])
    with torch.random.fork_rng(devices=[]):
        with torch.device("meta"):
            build(arch, classes=CLASSES, image=image, dropout=config.model.dropout, drop_path=config.model.drop_path)
        if "augment" in made.asked.values and not config.model.head:
            policies.augmentation(config.augment, image, num_classes=CLASSES, mirror=True, args=config.augment_args)
        build_optimizer(nn.Linear(1, 1), config, head=())
        factors(config.schedule)
        objective.chosen(config)
