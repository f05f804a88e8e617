"""Files say which distributions made them, and ask for those that they need."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from support.distributions import BLOCK, install

from resnetctl.deploy.onnx_checks import check

Command = Callable[..., subprocess.CompletedProcess[str]]
POLICY = (
    "from dataclasses import replace\nfrom resnetctl.spec import Policy\n"
    "def build(image, num_classes):\n    return lambda batch: replace(batch, images=batch.images // 2)\n"
    "dim = Policy(name='dim', build=build, summary='darker')\n"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Two runs of four steps: `blocked` with a block and a policy of plugins, `dimmed` with the policy alone."""
    root = tmp_path_factory.mktemp("provenance")
    install(root / "blocks", "prov-block", {"block": {"prov": "prov_block:Net"}}, code=BLOCK)
    install(root / "policies", "prov-policy", {"policy": {"dim": "prov_policy:dim"}}, code=POLICY)
    data = root / "data"

    def command(*words: str, plugins: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        variables = {
            "PYTHONPATH": os.pathsep.join(str(root / name) for name in plugins), "OMP_NUM_THREADS": "1",
            "RESNETCTL_DATA_DIR": str(data), "RESNETCTL_RUNS_DIR": str(root / "runs"), "COLUMNS": "300",
        }  # fmt: skip
        line = [sys.executable, "-m", "resnetctl", *words]
        return subprocess.run(line, cwd=root, env=os.environ | variables, capture_output=True, text=True, timeout=240)

    both = ("blocks", "policies")
    common = ("--arch", "resnet20", "--data", "digits", "--set", "steps=4", "--augment", "dim")
    for name, extra in (("blocked", ("--block", "prov")), ("dimmed", ())):
        done = command("train", *common, *extra, "--name", name, plugins=both)
        assert done.returncode == 0, done.stderr
    done = command("export", "blocked", "--onnx", "--out", "blocked.onnx", plugins=both)
    assert done.returncode == 0, done.stderr
    return SimpleNamespace(root=root, command=command, both=both)


def card(place: SimpleNamespace, name: str) -> dict[str, dict[str, str]]:
    file = str(place.root / "runs" / name / "model.safetensors")
    found = json.loads(place.command("weights", "show", file, "--json").stdout)
    return (found.get("card") or found)["plugins"]  # type: ignore[no-any-return]


def test_weights_record_what_they_require_and_what_was_used(place: SimpleNamespace) -> None:
    assert card(place, "blocked") == {
        "required": {"prov-block": "1.2"}, "used": {"prov-block": "1.2", "prov-policy": "1.2"},
    }  # fmt: skip
    assert card(place, "dimmed") == {"required": {}, "used": {"prov-policy": "1.2"}}


@pytest.mark.parametrize("line", ["eval blocked", "export blocked --onnx --out again.onnx"])
def test_weights_without_their_block_exit_4_with_the_install_line(place: SimpleNamespace, line: str) -> None:
    done = place.command(*line.split())
    assert done.returncode == 4
    assert "these weights need prov-block==1.2, which is not installed" in done.stderr
    assert "install prov-block 1.2 from the folder, wheel or index that has it" in done.stderr


def test_an_onnx_file_runs_without_the_plugin_and_still_names_it(place: SimpleNamespace) -> None:

    done = place.command("eval", "blocked.onnx", "--json")
    assert done.returncode == 0, done.stderr
    plugins = check((place.root / "blocked.onnx").read_bytes(), "blocked.onnx").weights.plugins
    assert dict(plugins.required) == {"prov-block": "1.2"}
    assert dict(plugins.used) == {"prov-block": "1.2", "prov-policy": "1.2"}


def test_a_net_trained_with_a_policy_of_a_plugin_loads_without_it(place: SimpleNamespace) -> None:
    done = place.command("eval", "dimmed", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["count"] == 359


def test_going_on_needs_the_policy_too(place: SimpleNamespace) -> None:
    refused = place.command("train", "--resume", "dimmed", "--epochs", "1")
    assert refused.returncode == 4
    assert "resuming this run needs prov-policy==1.2" in refused.stderr
    assert "install prov-policy 1.2 from the folder, wheel or index that has it" in refused.stderr
    done = place.command("train", "--resume", "dimmed", "--epochs", "1", plugins=place.both)
    assert done.returncode == 0, done.stderr


def test_a_disabled_plugin_is_as_good_as_none(place: SimpleNamespace) -> None:
    done = place.command("eval", "blocked", "--no-plugins", plugins=place.both)
    assert done.returncode == 4
    assert "prov-block 1.2" in done.stderr
