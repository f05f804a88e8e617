"""Another activation and norm belong to the arch: a run and its weights have them."""

import pytest
from support.datasets import tiny
from support.tiny_runs import run
from torch import nn

from resnetctl.errors import ConfigError
from resnetctl.system import settings
from resnetctl.weights.file import load_model


def test_a_run_and_its_weights_keep_activation_and_norm() -> None:
    tiny(settings.load().data_dir)
    folder = run("model.activation=silu", "model.norm=group", "steps=3", "batch_size=1")
    config = folder.read_config().model
    assert (config.activation, config.norm, config.block_args) == ("silu", "group", {"shortcut": "A"})
    model, described = load_model(folder.weights)
    assert (described.arch.activation, described.arch.norm) == ("silu", "group")
    assert not any(isinstance(part, nn.ReLU | nn.BatchNorm2d) for part in model.modules())


def test_a_block_without_a_choice_is_refused_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny(settings.load().data_dir)
    monkeypatch.delattr("resnetctl.models.blocks.BasicBlock.norms")
    with pytest.raises(ConfigError) as caught:
        run("model.norm=group", "epochs=1")
    assert caught.value.problems == ("norm group: the block does not name its layers in 'norms'",)
    assert not settings.load().runs_dir.exists() or not any(settings.load().runs_dir.iterdir())
