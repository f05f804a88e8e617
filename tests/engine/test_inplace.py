"""The line is found that changes a tensor in place which the backward pass needs."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from resnetctl.engine.inplace import is_inplace, line_of_change

WEIGHT = torch.ones(3, requires_grad=True)


def output(images: Tensor) -> Tensor:
    features = (images * WEIGHT).relu()
    features += 1
    return features * 2


def saved(images: Tensor) -> Tensor:
    features = images * 1
    product = features * WEIGHT
    nn.ReLU(inplace=True)(features)
    return product


def sound(images: Tensor) -> Tensor:
    features = images * WEIGHT
    features += 1
    return features.relu()


@pytest.mark.parametrize(("forward", "line"), [(output, 2), (saved, 3), (sound, None)])
def test_the_line_is_known_exactly_where_the_backward_pass_fails(
    forward: Callable[[Tensor], Tensor], line: int | None
) -> None:
    images = torch.randn(2, 3)
    place = f"test_inplace.py:{forward.__code__.co_firstlineno + line}" if line else ""
    assert line_of_change(lambda: forward(images)) == place
    if line is None:
        forward(images).sum().backward()  # type: ignore[no-untyped-call]
        return
    with pytest.raises(RuntimeError) as caught:
        forward(images).sum().backward()  # type: ignore[no-untyped-call]
    assert is_inplace(caught.value)


def test_other_errors_are_not_taken_for_it() -> None:
    assert not is_inplace(RuntimeError("size mismatch"))
    assert not is_inplace(ValueError("modified by an inplace operation"))
