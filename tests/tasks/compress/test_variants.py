"""The smaller versions of a network are made, exported and timed once, also when a second plan asks for them."""

from typing import Any

import pytest
from support.compressed import make_deep_run

from resnetctl import runs
from resnetctl.compress import latency
from resnetctl.data.store import open_store
from resnetctl.system import settings
from resnetctl.tasks.compress import Cut, variants
from resnetctl.tasks.compress.exports import float_file
from resnetctl.tasks.compress.judge import Judge
from resnetctl.tasks.compress.smaller import Limit, Planner
from resnetctl.tasks.compress.variants import Shape, Variants
from resnetctl.weights.file import Header, load_network, read_header


@pytest.fixture(autouse=True)
def run() -> runs.RunDir:
    """A run of five blocks, whose files are exported and timed in earnest."""
    with pytest.MonkeyPatch.context() as patch:
        return make_deep_run(patch)


@pytest.fixture
def header(run: runs.RunDir, monkeypatch: pytest.MonkeyPatch) -> Header:
    monkeypatch.setattr(latency, "SECONDS", 0.01)
    monkeypatch.setattr(latency, "SAMPLE", 0.001)
    return read_header(run.weights)


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The depths of all networks that are exported."""
    seen: list[tuple[int, ...]] = []
    real = variants.exported

    def watched(net: Any, described: Any) -> bytes:
        seen.append(net.arch.depths)
        return real(net, described)

    monkeypatch.setattr(variants, "exported", watched)
    return seen


def test_a_shape_is_exported_once_for_both_forms(header: Header, exports: list[tuple[int, ...]]) -> None:
    judge = Judge(header.card, open_store(settings.load().data_dir, "zoo"))
    made = Variants(load_network(header), judge)
    small = Shape(depths=(2, 1))
    floating, quantised = made.made(small), made.timed(small, int8=True, sizes=(1,))
    assert floating.net is quantised.net
    assert quantised.bytes != floating.bytes
    assert quantised.speedup[1].n >= 3
    assert sorted(exports) == [(2, 1), (3, 2)]


def test_a_file_that_is_known_is_not_exported_again(header: Header, exports: list[tuple[int, ...]]) -> None:
    judge = Judge(header.card, open_store(settings.load().data_dir, "zoo"))
    whole = float_file(judge, header, name="whole")
    made = Variants(load_network(header), judge, whole=whole)
    assert made.made(made.whole).bytes == len(whole.data)
    assert exports == []


def test_a_second_plan_measures_neither_blocks_nor_importance_again(
    header: Header, exports: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variants, "affordable", lambda model, images, **_: images[:5])
    planner = Planner(header, open_store(settings.load().data_dir, "zoo"))
    cut = Cut(speedup=0.01)
    first = planner.smaller(cut, limit=Limit(int8=True))
    assert first.notices == ("the budget allows 5 images of val to choose the blocks by, not 18",)
    monkeypatch.setattr(variants, "importance", lambda *_, **__: pytest.fail("measured again"))
    monkeypatch.setattr(variants, "measure_table", lambda *_, **__: pytest.fail("measured again"))
    second = planner.smaller(cut, limit=Limit(int8=False))
    assert second.notices == ()
    assert second.facts.table == first.facts.table
    assert len(exports) == len(set(exports))
