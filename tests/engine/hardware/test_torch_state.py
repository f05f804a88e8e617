"""A function of Python leaves torch's settings as they were."""

import pytest
import torch

from resnetctl.engine.hardware.torch_state import leaving_torch


def test_threads_and_random_numbers_are_as_before() -> None:
    before, state = torch.get_num_threads(), torch.get_rng_state()

    @leaving_torch
    def work() -> None:
        torch.set_num_threads(before + 1)
        torch.manual_seed(7)
        raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        work()
    assert torch.get_num_threads() == before
    assert torch.equal(torch.get_rng_state(), state)
