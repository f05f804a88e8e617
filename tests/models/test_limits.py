"""Sizes that no run can use are refused before it begins."""

import pytest
from support.jobs import job

from resnetctl.errors import ConfigError
from resnetctl.training.job import fresh_model, fresh_state


def test_first_images_that_are_too_small_are_refused() -> None:
    with pytest.raises(ConfigError, match="progressive resizing begins with images of"):
        job("progressive.initial_scale=0.1", "progressive.size_increment=1")


def test_batch_norm_with_one_value_a_channel_is_refused() -> None:
    settled = job("batch_size=1", "size=4", "val_fraction=0")
    with pytest.raises(ConfigError, match="batch norm cannot train on one image per step"):
        fresh_state(settled, fresh_model(settled))
