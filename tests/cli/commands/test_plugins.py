"""`plugins list` and `plugins show` print the plugins."""

from collections.abc import Callable, Generator
from typing import Any

import pytest

from resnetctl.facts import Progress
from resnetctl.registry import Entry
from resnetctl.testing.findings import Finding

Cli = Callable[..., Any]


def test_list_is_grouped_by_kind(cli: Cli) -> None:
    result = cli("plugins", "list")
    rows = [line.split("\t") for line in result.out.splitlines()]
    assert rows[0] == ["kind", "name", "distribution", "version", "status"]
    kinds = [row[0] for row in rows[1:]]
    order = ["arch", "block", "init", "policy", "optimizer", "schedule", "objective", "dataset"]
    order += ["exporter", "task", "head", "tracker", "recipe"]
    assert kinds == sorted(kinds, key=order.index)
    core = [row[1] for row in rows if row[0] == "block" and row[2] == "resnetctl"]
    assert core == ["basic", "bottleneck", "preact_basic", "preact_bottleneck"]


def test_list_gives_the_reason_for_an_unusable_plugin(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {
        "kind": "arch",
        "name": "net",
        "distribution": "mine",
        "version": "1.2",
        "status": "stale",
        "reason": "it is\x1b old",
    }
    monkeypatch.setattr(
        "resnetctl.tasks.plugins.listing.listing", lambda *_, **__: [row, {**row, "name": "b", "reason": ""}]
    )
    result = cli("plugins", "list")
    assert result.out.splitlines()[1:] == ["arch\tnet\tmine\t1.2\tstale", "arch\tb\tmine\t1.2\tstale"]
    assert result.err == "arch net of mine 1.2 is stale: it is\\x1b old\n"


def test_list_prints_one_kind_as_json(cli: Cli) -> None:
    document = cli("plugins", "list", "--kind", "policy", "--json").json()
    assert document["schema"] == "resnetctl.plugins.list/1"
    core = {row["name"]: row["status"] for row in document["plugins"] if row["distribution"] == "resnetctl"}
    assert core == dict.fromkeys(("none", "standard", "standard+cutout", "shift", "resized-crop"), "available")
    assert {row["kind"] for row in document["plugins"]} == {"policy"}


def test_show_an_arch_counts_its_parameters(cli: Cli) -> None:
    document = cli("plugins", "show", "resnet20", "--json").json()
    assert document["schema"] == "resnetctl.plugins.show/1"
    assert document["params"] == document["params_counted"] == 269_722
    assert document["depths"] == [3, 3, 3]


def test_show_prints_text(cli: Cli) -> None:
    lines = cli("plugins", "show", "resnet20").out.splitlines()
    assert "params          269,722" in lines
    assert "block args      shortcut=A" in lines


def test_show_describes_a_block(cli: Cli) -> None:
    document = cli("plugins", "show", "basic", "--json").json()
    assert document["parameters"]["shortcut"] == "str = 'B'"
    assert document["source"].endswith("blocks.py")
    assert document["summary"]
    assert "parameters" not in cli("plugins", "show", "basic").out, "the signature says it already"


@pytest.mark.parametrize("name", ["standard", "digits"])
def test_show_describes_a_policy_and_a_dataset(cli: Cli, name: str) -> None:
    result = cli("plugins", "show", name)
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[1].split() == ["name", name]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["nothing"], "error: no plugin is called 'nothing'"),
        (["resnet20", "--kind", "block"], "error: no block is called 'resnet20'"),
        (["resnet20", "--kind", "blok"], "error: --kind cannot be 'blok'"),
    ],
)
def test_an_unknown_name_or_kind_is_a_usage_error(cli: Cli, line: list[str], message: str) -> None:
    result = cli("plugins", "show", *line)
    assert (result.code, result.err.splitlines()[0]) == (2, message)


def test_exporters_are_a_kind_of_their_own(cli: Cli) -> None:
    rows = cli("plugins", "list", "--kind", "exporter", "--json").json()["plugins"]
    core = {row["name"]: row["status"] for row in rows if row["distribution"] == "resnetctl"}
    assert core == dict.fromkeys(("hub", "triton"), "available")
    assert {row["kind"] for row in rows} == {"exporter"}
    assert cli("plugins", "list", "--kind", "exporters").code == 2


@pytest.mark.parametrize("name", ["triton", "hub"])
def test_show_says_what_an_exporter_writes(cli: Cli, name: str) -> None:
    result = cli("plugins", "show", name)
    assert result.code == 0
    assert name in result.out
    document = cli("plugins", "show", name, "--json").json()
    assert (document["kind"], document["distribution"]) == ("exporter", "resnetctl")
    assert document["summary"] in result.out


def test_check_names_below_its_table_what_was_skipped_and_can_be_pruned(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judged(entries: list[Entry]) -> Generator[Progress, None, list[Finding]]:
        yield Progress(what="checking", done=1, total=1, unit="plugins")
        pruning = Finding(subject="block basic", rule="pruning", status="ok", seen="channels of conv1")
        return [pruning, Finding(subject="block basic", rule="onnx", status="skipped", seen="no onnx here")]

    monkeypatch.setattr("resnetctl.testing.kit.check_entries", judged)
    result = cli("plugins", "check", "basic")
    assert result.out.splitlines()[1:] == ["block basic\t2\t1\t0"]
    assert result.err.splitlines()[-2:] == [
        "block basic: pruning: channels of conv1",
        "block basic: skipped onnx: no onnx here",
    ]
