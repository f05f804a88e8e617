"""One workshop for all certified runs: a plain pytest takes a sample of each proof, `pytest -m certify` all of it."""

from collections.abc import Iterator

import pytest
from support.trials import Bench, open_shop


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("certify")
    with open_shop(folder) as shop:
        yield Bench(shop, folder / "rooms")
