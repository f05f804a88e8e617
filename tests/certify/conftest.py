"""One workshop for all certified runs. Plain pytest runs a sample of each proof, `pytest -m certify` all of it."""

import signal
from collections.abc import Iterator

import pytest
from support.certification import Bench, open_shop


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job; children would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = tmp_path_factory.mktemp("certify")
    with open_shop(folder) as shop:
        yield Bench(shop, folder / "rooms")
