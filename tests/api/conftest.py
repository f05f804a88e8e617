"""A trained run for the functions."""

import pytest
from support.datasets import tiny

import resnetctl as rc
from resnetctl.system import settings


@pytest.fixture
def run():
    tiny(settings.load().data_dir)
    return rc.train(data="tiny", arch="resnet20", epochs=2, set={"model.block_args": {"shortcut": "B"}}, name="one")
