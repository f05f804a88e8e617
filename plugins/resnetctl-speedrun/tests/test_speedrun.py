"""Whitening does what it says, and the recipe trains a net that resumes with the same bytes."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch
from resnetctl_speedrun.archs import speednet_wd2
from resnetctl_speedrun.blocks import SpeedBlock
from resnetctl_speedrun.inits import whiten
from support.datasets import tiny
from support.jobs import job, to_train
from torch import Tensor, nn
from torch.nn import functional as F

from resnetctl import runs
from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.config.layers import from_recipe
from resnetctl.models.resnet import build
from resnetctl.spec import ImageSpec
from resnetctl.system import settings
from resnetctl.tasks.resume import resume
from resnetctl.tasks.train import train
from resnetctl.testing import conformance
from resnetctl.training.job import fresh_model

test_conformance = conformance("resnetctl-speedrun")

SHORT = ("data=tiny", "epochs=2", "val_fraction=0.2", "batch_size=16")


def smooth_images() -> Tensor:
    """Images whose neighbouring pixels are alike, `(64, 3, 20, 20)`."""
    torch.manual_seed(0)
    return F.avg_pool2d(torch.randn(64, 3, 24, 24), 5, stride=1) * torch.tensor([1.0, 3.0, 9.0]).view(3, 1, 1)


@torch.no_grad()
def test_whitened_patches_are_uncorrelated_and_equally_strong() -> None:
    images = smooth_images()
    model = build(speednet_wd2, classes=3, image=ImageSpec(size=20))
    whiten(model, images)
    answers = F.conv2d(images, model.conv1.weight).transpose(0, 1).flatten(1)
    assert torch.equal(answers[:12], -answers[12:])
    assert torch.allclose(torch.cov(answers[:12]), torch.eye(12), atol=0.01)
    assert not model.conv1.weight.requires_grad


@torch.no_grad()
def test_filters_beyond_the_values_of_a_patch_keep_their_weights() -> None:
    model = nn.Sequential()
    model.conv1 = nn.Conv2d(3, 60, 3, bias=False)
    before = model.conv1.weight.clone()
    whiten(model, smooth_images())
    assert torch.equal(model.conv1.weight[54:], before[54:])
    assert not torch.equal(model.conv1.weight[:54], before[:54])


def test_a_network_without_a_first_convolution_is_refused() -> None:
    with pytest.raises(ValueError, match="no first convolution of two or more filters"):
        whiten(nn.Sequential(), smooth_images())


def test_a_block_of_equal_shapes_is_one_residual_convolution() -> None:
    block = SpeedBlock(8, 8).eval()
    nn.init.zeros_(block.bn1.weight)
    images = torch.randn(2, 8, 5, 5)
    assert torch.equal(block(images), F.gelu(images))


def killed(after: int) -> runs.RunDir:
    """Return a run of the recipe whose process ended after `after` facts."""
    draft = to_train(from_recipe("speedrun"), from_sets(SHORT), name=f"cut{after}")
    facts = train(draft, settings.load())
    list(itertools.islice(facts, after))
    facts.close()  # type: ignore[attr-defined]
    return runs.find(f"cut{after}", Path("runs"))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A fresh current folder and data folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESNETCTL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("RESNETCTL_RUNS_DIR", "runs")
    settings.load.cache_clear()
    yield
    settings.load.cache_clear()


@pytest.mark.usefixtures("machine")
def test_a_killed_run_of_the_recipe_ends_with_the_same_bytes() -> None:
    tiny(settings.load().data_dir)
    whole = killed(10**6)
    first = safetensors.torch.load_file(whole.weights)["conv1.weight"]
    assert torch.equal(first, fresh_model(job("model.arch=speednet_wd2", "model.init=whiten", *SHORT)).conv1.weight)
    for after in (1, 6):  # before the first checkpoint, and in the second epoch
        cut = killed(after)
        list(resume(str(cut.path), settings=settings.load()))
        assert cut.weights.read_bytes() == whole.weights.read_bytes()
