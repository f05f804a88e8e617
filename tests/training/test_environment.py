import json
from importlib.metadata import version
from pathlib import Path

from support.datasets import tiny
from support.jobs import to_train

from resnetctl import __version__, runs
from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.system import settings
from resnetctl.tasks.train import train


def test_a_run_records_its_versions_machine_and_data() -> None:
    tiny(settings.load().data_dir)
    list(train(to_train(from_sets(["data=tiny", "epochs=1"]), name="one"), settings.load()))
    env = json.loads((runs.find("one", Path("runs")).path / "env.json").read_text())
    assert env["resnetctl"] == __version__
    assert env["packages"]["torch"] == version("torch")
    assert env["machine"]["device"] == "cpu"
    assert env["machine"]["threads"] == 1
    assert env["data"]["name"] == "tiny"
    assert env["data"]["digests"]["train"]
    assert env["plugins"] == {}
