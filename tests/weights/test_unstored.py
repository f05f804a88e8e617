"""Plain tensors and modules in Python's containers are found by name; what is registered is not."""

import torch
from torch import nn

from resnetctl.weights.unstored import loose_modules, plain_tensors


class Holder(nn.Module):
    """Holds a tensor and modules in many ways."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.register_buffer("mean", torch.zeros(2))
        self.gamma = torch.zeros(2, requires_grad=True)
        self.count = torch.zeros(2, dtype=torch.int64)
        self.conv = nn.Conv2d(1, 1, 1)
        self.order = [self.conv]
        self.registered = nn.ModuleList([nn.Conv2d(1, 1, 1)])
        self.branches = [self.conv, nn.Conv2d(1, 1, 1)]
        self.named = {"a": nn.Conv2d(1, 1, 1), "b": None}


def test_tensors_that_no_file_has_are_found_in_every_module() -> None:
    net = nn.Sequential(Holder(), nn.Identity())
    ((name, value),) = plain_tensors(net)
    assert (name, value.requires_grad) == ("0.gamma", True)


def test_modules_of_its_own_in_a_container_are_found_and_references_are_not() -> None:
    assert [*loose_modules(Holder())] == [("branches", "nn.ModuleList"), ("named", "nn.ModuleDict")]
    assert next(loose_modules(nn.Sequential(Holder()))) == ("0.branches", "nn.ModuleList")
    assert not [*loose_modules(nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)))]
