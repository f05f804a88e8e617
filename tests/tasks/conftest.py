"""Fixtures of the tasks: the machine's settings, and a dataset plugin."""

from collections.abc import Iterator

import pytest
from support.toy_dataset import Toy

from resnetctl import registry
from resnetctl.system import settings as settings_module
from resnetctl.system.settings import Settings


@pytest.fixture
def settings() -> Settings:
    return settings_module.load()


@pytest.fixture
def toy() -> Iterator[Toy]:
    plugin = Toy()
    with registry.overlay("dataset", toy=plugin):
        yield plugin
