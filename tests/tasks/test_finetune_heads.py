"""`finetune` puts a head on a classifier's trunk, bit by bit, and goes on with weights that have a head."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support import heads
from support.datasets import tiny as tiny_dataset
from support.jobs import to_finetune
from support.tiny_runs import run as classifier

from resnetctl import runs
from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.errors import ConfigError
from resnetctl.facts import Finished
from resnetctl.models.dense import backbone_of
from resnetctl.system import settings
from resnetctl.tasks.finetune import finetune
from resnetctl.weights.file import load_model, load_net, read_header


@pytest.fixture(autouse=True)
def tiny() -> Iterator[None]:
    with heads.registered():
        yield


def tuned(weights: Path, *sets: str, name: str) -> runs.RunDir:
    base = ["data=scenes", f"weights={weights}", "epochs=1", "batch_size=8", "size=40"]
    facts = finetune(to_finetune(from_sets([*base, *sets]), name=name), settings.load())
    finished = [fact for fact in facts if isinstance(fact, Finished)]
    return runs.RunDir(finished[0].run)


def test_the_trunk_of_a_classifier_keeps_its_bits_when_it_is_frozen(tmp_path: Path) -> None:
    tiny_dataset(settings.load().data_dir)
    start = classifier("epochs=1")
    heads.stored("masks", tmp_path)
    run = tuned(start.weights, "model.head=tiny_seg", "freeze=backbone", name="tuned")
    trunk, _ = load_model(start.weights)
    net = load_net(read_header(run.weights))
    before, after = trunk.state_dict(), backbone_of(net).state_dict()
    shared = before.keys() & after.keys()
    assert len(shared) > 100
    changed = [name for name in shared if before[name].shape == after[name].shape]
    assert all(torch.equal(before[name], after[name]) for name in changed if not name.startswith("conv1"))
    card = read_header(run.weights).card
    assert card.image.fit == "pad"
    assert card.image.resize == card.image.size == 40


def test_weights_with_a_head_go_on_with_it(tmp_path: Path) -> None:
    heads.stored("masks", tmp_path)
    start = heads.run("masks", "epochs=1")
    run = tuned(start.weights, "lr=1e-12", "weight_decay=0", name="on")
    head = read_header(run.weights).card.head
    assert head is not None
    assert head.name == "tiny_seg"
    before, after = (load_net(read_header(item.weights)).state_dict() for item in (start, run))
    weights = [name for name in before if name.endswith("weight")]
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in weights)


def test_a_classifier_needs_a_head_for_boxes(tmp_path: Path) -> None:
    tiny_dataset(settings.load().data_dir)
    start = classifier("epochs=1")
    heads.stored("boxes", tmp_path)
    with pytest.raises(ConfigError, match="'scenes' has boxes: a head learns from them"):
        tuned(start.weights, name="no")


def test_a_head_for_other_data_is_refused_before_weights_are_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads.stored("masks", tmp_path)
    monkeypatch.setattr("resnetctl.tasks.sources.open_weights", lambda *_, **__: pytest.fail("weights were opened"))
    with pytest.raises(ConfigError, match="head 'tiny_det' learns from boxes, and 'scenes' has masks"):
        tuned(Path("torchvision:resnet18"), "model.head=tiny_det", name="on")
