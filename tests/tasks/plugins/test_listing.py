"""Rows of `plugins list` and facts of `plugins show`."""

from collections.abc import Sequence

import pytest

from resnetctl import registry
from resnetctl.errors import PluginError, UsageError
from resnetctl.hints import Call
from resnetctl.registry import Entry
from resnetctl.registry.probe import Probe
from resnetctl.tasks.plugins import listing as plugins


def foreign(name: str, kind: registry.Kind = "arch", value: str = "no.such.module:net") -> Entry:
    return Entry(kind=kind, name=name, value=value, distribution="other", version="2.0")


def read_as(monkeypatch: pytest.MonkeyPatch, *kinds: str, name: str) -> None:
    """Make the metadata have one entry of each of these kinds and no other."""

    def read(kind: str, chosen: object) -> tuple[Entry, ...]:
        return (foreign(name, kind),) if kind in kinds else ()

    monkeypatch.setattr("resnetctl.registry.index.read_entries", read)


def test_every_kind_is_listed_in_the_order_of_the_table() -> None:
    kinds = [row["kind"] for row in plugins.listing()]
    assert list(dict.fromkeys(kinds)) == [kind for kind in registry.KINDS if registry.entries(kind)]
    assert {row["kind"] for row in plugins.listing("block")} == {"block"}


def test_check_marks_the_entries_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    ghost = foreign("ghost")
    read_as(monkeypatch, "arch", name="ghost")
    monkeypatch.setattr(plugins, "probe", lambda entries: {ghost: Probe(entry=ghost, error="it raises")})
    assert [row["status"] for row in plugins.listing()] == ["available"]
    row = plugins.listing(check=True)[0]
    assert (row["status"], row["reason"]) == ("broken", "it raises")


@pytest.mark.parametrize(
    ("error", "block", "reason"),
    [
        ("", "nowhere", "no block is called 'nowhere'"),
        ("it does not load", "se_basic", "its block 'se_basic' is broken: it does not load"),
        ("", "se_basic", ""),
        ("", "basic", ""),
    ],
)
def test_an_arch_is_broken_when_its_block_is(
    monkeypatch: pytest.MonkeyPatch, error: str, block: str, reason: str
) -> None:
    def probe(entries: Sequence[Entry]) -> dict[Entry, Probe]:
        return {
            one: Probe(entry=one, block=block) if one.kind == "arch" else Probe(entry=one, error=error)
            for one in entries
        }

    monkeypatch.setattr(plugins, "probe", probe)
    (row,) = [row for row in plugins.listing("arch", check=True) if row["name"] == "se_resnet20"]
    assert (row["status"], row["reason"]) == ("broken" if reason else "available", reason)


def test_an_arch_has_published_and_counted_parameters() -> None:
    facts = plugins.describe("resnet50")
    assert facts["params"] == facts["params_counted"] == 25_557_032
    assert facts["counted_at"] == "1000 classes, 224 px, 3 channels"
    assert facts["kind"] == "arch"


def test_a_dataset_is_described_by_its_card() -> None:
    facts = plugins.describe("digits")
    assert len(facts["classes"]) == 10
    assert facts["licence"]
    assert facts["source"].endswith(".py")


def test_a_policy_built_by_a_partial_has_a_signature() -> None:
    assert "image" in plugins.describe("standard")["signature"]


def test_a_broken_plugin_is_a_plugin_error(monkeypatch: pytest.MonkeyPatch) -> None:
    read_as(monkeypatch, "arch", name="ghost")
    with pytest.raises(PluginError, match="cannot be imported"):
        plugins.describe("ghost")


def test_a_name_of_two_kinds_is_a_usage_error_that_asks_for_the_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    read_as(monkeypatch, "arch", "block", name="twice")
    with pytest.raises(UsageError) as caught:
        plugins.describe("twice")
    assert caught.value.hint == (Call("plugins show", ("twice",), {"kind": "arch"}),)


def test_an_unknown_name_suggests_a_similar_one() -> None:
    with pytest.raises(UsageError) as caught:
        plugins.describe("resnt20")
    assert caught.value.hint[0] == "did you mean 'resnet20'?"
