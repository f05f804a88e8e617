"""The logits that a teacher gives once are those that it would give in each step of a run without augmentation."""

import dataclasses

import pytest
import torch
from support.trained import CLASSES, IMAGE, card, make_store, network

from resnetctl.compress import opinions
from resnetctl.compress.distil import Distillation, learned_from
from resnetctl.compress.opinions import Opinions
from resnetctl.compress.teacher import Teacher, hire
from resnetctl.config.schema import DistillConfig, TrainConfig
from resnetctl.data.loader import Feed
from resnetctl.data.policies import augmentation
from resnetctl.data.preprocess import normalise
from resnetctl.data.splits import ImageSet, open_sets
from resnetctl.spec import Batch, DatasetCard
from resnetctl.weights.file import LoadedWeights, NamedWeights

CPU = torch.device("cpu")


@pytest.fixture
def teacher() -> Teacher:
    weights = LoadedWeights(path=None, state=network(5).state_dict(), card=card())  # type: ignore[arg-type]
    data = DatasetCard(name="zoo", classes=CLASSES[::-1], image=IMAGE, splits={})
    return hire(NamedWeights(weights=weights, sha256="ab", name="t"), data, device=CPU)


@pytest.fixture
def train() -> ImageSet:
    return open_sets(make_store(), val_fraction=0.2, seed=3)[0]


def a_batch(train: ImageSet) -> Batch:
    """Return a normalised batch as a step without augmentation makes it."""
    batch = Feed(train, IMAGE, CPU).batch(torch.tensor([7, 3, 20, 3, 0]), epoch=2, step=9)
    batch = augmentation("none", IMAGE, num_classes=3, mirror=True, args={}, truth="labels")(batch)
    return dataclasses.replace(batch, images=normalise(batch.images, IMAGE))


def test_rows_of_the_store_get_the_logits_of_their_images(teacher: Teacher, train: ImageSet) -> None:
    batch = a_batch(train)
    found = Opinions(teacher, train, IMAGE).of(batch.index)
    torch.testing.assert_close(found, teacher.logits(batch.images, IMAGE), rtol=1e-5, atol=1e-5)
    assert torch.equal(found[1], found[3])


def test_all_logits_are_computed_once_in_float32(
    teacher: Teacher, train: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, calls = Opinions(teacher, train, IMAGE), []
    monkeypatch.setattr(Teacher, "logits", lambda self, images, spec: calls.append(len(images)) or images[:, 0, :3, 0])
    with torch.autocast("cpu", torch.bfloat16):
        first = known.of(torch.from_numpy(train.index))
    assert (sum(calls), first.dtype) == (len(train), torch.float32)
    assert torch.equal(known.of(torch.from_numpy(train.index[:4])), first[:4])
    assert sum(calls) == len(train)


def test_a_step_asks_the_table_where_images_repeat_and_the_teacher_elsewhere(
    teacher: Teacher, train: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def objective(method: str, images: ImageSet | None) -> Distillation:
        config = TrainConfig(distill=DistillConfig(teacher="t", method=method))  # type: ignore[arg-type]
        made = learned_from(
            teacher, config, image=IMAGE, known=None if images is None else Opinions(teacher, images, IMAGE)
        )
        assert isinstance(made, Distillation)
        return made

    assert objective("kd", None).opinions is objective("hint", train).opinions is None
    batch, student = a_batch(train), network(1)
    plan = type("Plan", (), {"label_smoothing": 0.0, "class_weights": None, "accumulate": 1})()
    losses = [objective("dkd", images)(student, batch, plan=plan)[0] for images in (None, train)]
    torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-5)
    monkeypatch.setattr(opinions, "MOST_BYTES", 1)
    assert objective("kd", train).opinions is None
