import json
from importlib.metadata import version
from pathlib import Path

from support.datasets import tiny
from support.jobs import to_train

from resnetctl import __version__, runs
from resnetctl.config.layers import from_sets
from resnetctl.system import settings
from resnetctl.tasks.train import train


def test_a_run_says_what_it_was_made_with() -> None:
    tiny(settings.load().data_dir)
    list(train(to_train(from_sets(["data=tiny", "epochs=1"]), name="one"), settings.load()))
    found = json.loads((runs.find("one", Path("runs")).path / "env.json").read_text())
    assert found["resnetctl"] == __version__
    assert found["packages"]["torch"] == version("torch")
    assert found["machine"]["device"] == "cpu"
    assert found["machine"]["threads"] == 1
    assert found["data"]["name"] == "tiny"
    assert found["data"]["digests"]["train"]
    assert found["plugins"] == {}
