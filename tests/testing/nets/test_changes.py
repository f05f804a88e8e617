"""The line that changes a module's input in place is found through views, modules and calls of torch."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from resnetctl.testing.findings import Broken
from resnetctl.testing.nets.changes import require_unchanged


class Calls(nn.Module):
    def __init__(self, change: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.change = change

    def forward(self, images: Tensor) -> Tensor:
        self.change(images)
        return images + 1


CHANGES: list[Callable[[Tensor], object]] = [
    lambda images: images.mul_(2),
    lambda images: images[:, 0].zero_(),
    lambda images: images.view(-1).add_(1),
    lambda images: nn.ReLU(inplace=True)(images),
    lambda images: torch.neg(images.detach(), out=images.data),
    lambda images: images.__setitem__(0, 7.0),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_in_place_has_the_line_of_the_code_that_made_it(change: Callable[[Tensor], object]) -> None:
    with pytest.raises(Broken, match="the input was changed in place here") as caught:
        require_unchanged(Calls(change), -torch.ones(2, 3, requires_grad=True) * 1.0, case="here")
    assert caught.value.place == f"test_changes.py:{change.__code__.co_firstlineno}"


def test_a_module_that_copies_first_gives_its_output() -> None:
    module = Calls(lambda images: images.clone().mul_(2))
    assert require_unchanged(module, torch.ones(2), case="").tolist() == [2, 2]
