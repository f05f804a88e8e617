"""A teacher sees the student's images with its own preprocessing, and answers in the student's order of classes."""

import dataclasses

import pytest
import torch
from support.trained import ARCH, CLASSES, IMAGE, card, network

from resnetctl.compress.teacher import Teacher, hire
from resnetctl.data.preprocess import normalise, resize
from resnetctl.errors import WeightsError
from resnetctl.models.resnet import build
from resnetctl.spec import DatasetCard, ImageSpec, WeightsCard
from resnetctl.weights.file import LoadedWeights, NamedWeights

CPU = torch.device("cpu")
DATA = DatasetCard(name="zoo", classes=CLASSES, image=IMAGE, splits={})
OTHER = ImageSpec(size=12, channels=1, mean=(0.1,), std=(0.7,))


def source(described: WeightsCard) -> NamedWeights:
    weights = LoadedWeights(path=None, state=network().state_dict(), card=described)  # type: ignore[arg-type]
    return NamedWeights(weights=weights, sha256="ab", name="t.safetensors")


def hired(**changes: object) -> Teacher:
    return hire(source(card(**changes)), DATA, device=CPU)  # type: ignore[arg-type]


def pixels() -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (5, 1, 8, 8), generator=generator, dtype=torch.uint8).float()


def test_the_teacher_gives_the_logits_that_it_would_give_alone() -> None:
    images = normalise(pixels(), IMAGE)
    torch.testing.assert_close(hired().logits(images, IMAGE), network()(images), rtol=1e-4, atol=1e-5)


def test_size_mean_and_std_are_the_teachers_own() -> None:
    theirs = normalise(resize(pixels(), 12, interpolation="bilinear"), OTHER)
    logits = hired(image=OTHER).logits(normalise(pixels(), IMAGE), IMAGE)
    torch.testing.assert_close(logits, network()(theirs), rtol=1e-3, atol=1e-4)


def test_classes_are_matched_by_name_and_further_ones_left_out() -> None:
    images = normalise(pixels(), IMAGE)
    mixed = dataclasses.replace(DATA, classes=("cow", "ape"))
    teacher = hire(source(card()), mixed, device=CPU)
    torch.testing.assert_close(teacher.logits(images, IMAGE), network()(images)[:, [2, 0]], rtol=1e-4, atol=1e-5)
    _, logits = teacher.features(images, IMAGE)
    torch.testing.assert_close(logits, teacher.logits(images, IMAGE))


def test_the_predictor_prepares_raw_images_as_for_the_student() -> None:
    teacher = hired(image=OTHER)
    raw = pixels().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    expected = teacher.logits(normalise(pixels(), IMAGE), IMAGE)
    torch.testing.assert_close(torch.from_numpy(teacher.predictor(IMAGE)(raw)), expected)


def test_the_teacher_neither_learns_nor_changes_its_statistics() -> None:
    teacher = hired()
    assert not any(parameter.requires_grad for parameter in teacher.net.parameters())
    assert not any(module.training for module in teacher.net.modules())
    assert not teacher.logits(normalise(pixels(), IMAGE), IMAGE).requires_grad
    assert isinstance(teacher.net.bn1, torch.nn.Identity)  # its norms are folded


def test_a_teacher_that_lacks_a_class_is_refused_by_name() -> None:
    extra = dataclasses.replace(DATA, classes=(*CLASSES, "dodo"))
    with pytest.raises(WeightsError, match="does not know every class") as caught:
        hire(source(card()), extra, device=CPU)
    assert caught.value.problems == ("unknown to the teacher: dodo",)
    assert caught.value.where == "t.safetensors"


def test_a_teacher_for_other_channels_is_refused() -> None:
    colour = dataclasses.replace(DATA, image=ImageSpec(size=8))
    with pytest.raises(WeightsError, match="reads images of 1 channels, and the data has 3"):
        hire(source(card()), colour, device=CPU)


def test_the_teachers_arch_names_it() -> None:
    assert hired().arch == ARCH.name
    assert build(ARCH, classes=3, image=IMAGE).arch == hired().net.arch


def test_a_long_list_of_unknown_classes_is_cut() -> None:
    many = dataclasses.replace(DATA, classes=tuple(f"class {number}" for number in range(25)))
    with pytest.raises(WeightsError) as caught:
        hire(source(card()), many, device=CPU)
    (problem,) = caught.value.problems
    assert problem.startswith("unknown to the teacher: class 0, class 1, ")
    assert problem.endswith("class 9 and 15 more")


def test_features_are_those_of_each_stage_of_the_folded_network() -> None:
    images = normalise(pixels(), IMAGE)
    features, logits = hired().features(images, IMAGE)
    with torch.no_grad():
        expected = network().features(images)
    assert features.keys() == expected.keys()
    for stage, value in features.items():
        torch.testing.assert_close(value, expected[stage], rtol=1e-3, atol=1e-4)
    assert not logits.requires_grad


@pytest.mark.parametrize("changes", [{"mean": (0.2,)}, {"std": (0.9,)}, {"size": 12, "resize": 12}])
def test_each_difference_of_the_preprocessing_is_undone(changes: dict[str, object]) -> None:
    own = dataclasses.replace(IMAGE, **changes)  # type: ignore[arg-type]
    adapted = hired(image=own)._adapted(normalise(pixels(), IMAGE), IMAGE)
    wanted = normalise(resize(pixels(), own.size, interpolation=own.interpolation), own)
    torch.testing.assert_close(adapted, wanted, rtol=1e-3, atol=1e-3)
    same = hired()
    images = normalise(pixels(), IMAGE)
    assert same._adapted(images, IMAGE) is images


def test_the_digest_is_that_of_the_weights() -> None:
    assert hired().sha256 == "ab"
