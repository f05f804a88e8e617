"""A broken plugin does not disturb commands that do not use it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.distributions import install_broken

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "packages"
    install_broken(folder)
    return folder


@pytest.fixture
def command(site: Path) -> Run:
    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "resnetctl", *words],
            env=os.environ | {"PYTHONPATH": str(site), "COLUMNS": "200", "OMP_NUM_THREADS": "1"} | environment,
            capture_output=True, text=True, timeout=240,
        )  # fmt: skip

    return run


@pytest.mark.parametrize("line", ["--help", "--version", "plugins list", "plugins show resnet32", "data list"])
def test_help_built_ins_and_lists_work_beside_broken_plugins(command: Run, line: str) -> None:
    done = command(*line.split())
    messages = [text for text in done.stderr.splitlines() if " is stale: " not in text]
    assert (done.returncode, messages) == (0, [])
    assert ("t17-gone 1.2 is stale: there is no module" in done.stderr) == (line == "plugins list")
    assert "HELLO" not in done.stdout


def test_the_list_marks_clashes_and_stale_plugins(command: Run) -> None:
    rows = json.loads(command("plugins", "list", "--json").stdout)["plugins"]
    status = {(row["name"], row["distribution"]): row["status"] for row in rows if "t17" in row["distribution"]}
    assert status["old", "t17-old"] == status["gone", "t17-gone"] == "stale"
    assert status["twin", "t17-one"] == status["twin", "t17-two"] == "clash"
    assert status["resnet20", "t17-shadows"] == "clash"
    assert status["aborts", "t17-aborts"] == status["raises", "t17-raises"] == "available"


@pytest.mark.parametrize("name", ["raises", "exits", "lacks", "wrong", "old", "gone"])
def test_using_a_broken_plugin_names_distribution_and_version(command: Run, name: str) -> None:
    done = command("plugins", "show", name)
    assert done.returncode == 4
    assert f"t17-{name} 1.2" in done.stderr
    assert "Traceback" not in done.stderr


def test_dist_name_chooses_between_clashing_plugins(command: Run) -> None:
    done = command("plugins", "show", "twin")
    assert done.returncode == 4
    assert "t17-one:twin" in done.stderr
    assert "t17-two:twin" in done.stderr
    assert json.loads(command("plugins", "show", "t17-two:twin", "--json").stdout)["widths"] == [9]


@pytest.mark.parametrize("name", ["slow", "prints"])
def test_slow_and_printing_plugins_work(command: Run, name: str) -> None:
    done = command("plugins", "show", name, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["name"] == name, "stdout is one JSON document even if the plugin prints"
    assert ("HELLO" in done.stderr) == (name == "prints")


def test_a_built_in_is_not_shadowed(command: Run) -> None:
    done = command("plugins", "show", "resnet20", "--json")
    assert json.loads(done.stdout)["params"] == 269_722
    assert done.stderr.count("t17-shadows:resnet20") == 1
    assert json.loads(command("plugins", "show", "t17-shadows:resnet20", "--json").stdout)["widths"] == [8]


def test_plugins_can_be_disabled_or_chosen(command: Run) -> None:
    def status(*words: str, **environment: str) -> dict[str, str]:
        rows = json.loads(command(*words, "plugins", "list", "--json", **environment).stdout)["plugins"]
        return {row["distribution"]: row["status"] for row in rows if row["distribution"].startswith("t17")}

    assert set(status("--no-plugins").values()) == {"disabled"}
    assert set(status(RESNETCTL_PLUGINS="none").values()) == {"disabled"}
    chosen = status(RESNETCTL_PLUGINS="t17-slow,t17_one")
    assert {name for name, state in chosen.items() if state != "disabled"} == {"t17-slow", "t17-one"}
    refused = command("plugins", "show", "slow", "--no-plugins")
    assert refused.returncode == 4
    assert "t17-slow 1.2" in refused.stderr
    assert "--no-plugins    switches plugins off: leave it out" in refused.stderr
    misspelt = command("plugins", "list", RESNETCTL_PLUGINS="t17-slow,t17-fats")
    assert misspelt.returncode == 0
    assert "RESNETCTL_PLUGINS names 't17-fats'" in misspelt.stderr
    assert "'t17-slow'" not in misspelt.stderr


def test_list_check_imports_in_another_process_and_marks_broken_plugins(command: Run) -> None:
    done = command("plugins", "list", "--check", "--json")
    rows = {row["name"]: row for row in json.loads(done.stdout)["plugins"] if row["distribution"].startswith("t17")}
    broken = {name for name, row in rows.items() if row["status"] == "broken"}
    assert (done.returncode, broken) == (0, {"raises", "exits", "aborts", "lacks", "wrong"})
    assert "SIGABRT" in rows["aborts"]["reason"]


@pytest.mark.parametrize(
    ("name", "rule", "seen"),
    [
        ("aborts", "import", "SIGABRT"),
        ("patches", "torch", "torch.nn.Conv2d.forward"),
        ("gone", "import", "stale"),
        pytest.param("prints", "silent", "HELLO FROM A PLUGIN", marks=pytest.mark.certify),
        pytest.param("heavy", "torch_free", "t17_heavy loads torch", marks=pytest.mark.certify),
        pytest.param("misnamed", "called", "the entry is 'misnamed', the object 'net'", marks=pytest.mark.certify),
    ],
)
def test_check_shows_rule_value_and_fix(command: Run, name: str, rule: str, seen: str) -> None:
    done = command("plugins", "check", name, "--json")
    failed = [row for row in json.loads(done.stdout)["findings"] if not row["ok"]]
    assert (done.returncode, [row["rule"] for row in failed]) == (5, [rule])
    assert seen in failed[0]["seen"]
    assert failed[0]["fix"]
    assert f"{name}: {rule}: " in done.stderr
