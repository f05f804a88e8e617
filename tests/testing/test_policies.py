"""Sound policies break no rule; each broken policy breaks the rule of its case."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from resnetctl import registry
from resnetctl.spec import Batch, ImageSpec, Policy
from resnetctl.testing import policies
from resnetctl.testing.findings import judge, judge_all


def policy(change: Callable[[Batch, int], Batch], **facts: Any) -> Policy:
    """Return a policy that crops the centre, then applies `change` to the batch."""

    def build(image: ImageSpec, num_classes: int) -> Callable[[Batch], Batch]:
        start = (image.resize - image.size) // 2
        place = slice(start, start + image.size)
        return lambda batch: change(replace(batch, images=batch.images[:, :, place, place]), num_classes)

    return Policy(name="p", build=build, summary="s", **facts)


def images(change: Callable[[torch.Tensor], torch.Tensor], **facts: Any) -> Policy:
    return policy(lambda batch, _: replace(batch, images=change(batch.images)), **facts)


def mixed(batch: Batch, classes: int, *, own: float) -> Batch:
    """Mix 0.8 of each picture with 0.2 of its neighbour; `own` is the share of its class in the target."""
    targets = one_hot(batch.targets, classes).float()
    pixels = 0.8 * batch.images.float() + 0.2 * batch.images.roll(1, 0).float()
    return replace(batch, images=pixels, targets=own * targets + (1 - own) * targets.roll(1, 0))


def half_only(batch: Batch, classes: int) -> Batch:
    pixels = batch.images.float()
    half = len(pixels) // 2
    return replace(batch, images=torch.cat([pixels[:half] * 0.5, pixels[half:]]))


def blank_some(pixels: torch.Tensor) -> torch.Tensor:
    return pixels * (torch.rand(len(pixels), 1, 1, 1) > 0.2)


def mirror_half(pixels: torch.Tensor) -> torch.Tensor:
    return torch.where(torch.rand(len(pixels), 1, 1, 1) < 0.5, pixels.flip(3), pixels)


def rarely_by(chance: Callable[[], float]) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a function that darkens one batch in a hundred."""
    return lambda pixels: pixels // 2 if chance() < 0.01 else pixels


def seed_first(pixels: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(0)
    return pixels.float() * torch.rand(len(pixels), 1, 1, 1).clamp(min=0.5)


def wrong_partner(batch: Batch, classes: int) -> Batch:
    """Blend each picture with the one before it, but its class with that of another."""
    kept = torch.rand(len(batch.images), 1)
    targets, pixels = one_hot(batch.targets, classes).float(), batch.images.float()
    share = kept[:, :, None, None]
    return replace(
        batch,
        images=share * pixels + (1 - share) * pixels.roll(1, 0),
        targets=kept * targets + (1 - kept) * targets.flip(0),
    )


def edit(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.mul_(torch.tensor(0.5)) if pixels.is_floating_point() else pixels.fill_(9)


class Remembers:
    """A function that darkens each batch by the number of its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return pixels.float() / (1 + self.calls % 7)


class Generator:
    """A function with its own generator, which torch's seed does not reset."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.float() * torch.rand(len(pixels), 1, 1, 1, generator=self.generator).clamp(min=0.5)


def keeping(change: Callable[[Batch, int], Batch]) -> Policy:
    """A policy that says that it keeps numbers of the images right."""
    return replace(policy(change), moves=("vectors",))


@pytest.mark.parametrize("name", ["none", "standard", "standard+cutout", "shift", "resized-crop"])
def test_sound_policies_break_no_rule(name: str) -> None:
    findings = judge_all(name, policies.RULES, target=registry.get("policy", name))
    assert [str(one) for one in findings if not one.ok] == []


def test_a_sound_mixture_breaks_no_rule() -> None:
    findings = judge_all("p", policies.RULES, target=policy(lambda batch, classes: mixed(batch, classes, own=0.8)))
    assert [(one.rule, one.status) for one in findings if one.status != "ok"] == [("vectors", "skipped")]


@pytest.mark.parametrize(
    ("value", "rule", "seen"),
    [
        ("standard", "signature", "it is a str"),
        (Policy(name="p", build=lambda image: image, summary="s"), "signature", "TypeError"),
        (Policy(name="p", build=lambda image, classes: lambda batch: batch, summary="s"), "shapes", "32, 32) images"),
        (policy(lambda batch, _: replace(batch, images=batch.images[:-1])), "shapes", "(0, 3, 32, 32) images"),
        (images(lambda pixels: pixels.double()), "dtype", "images are torch.float64"),
        (images(lambda pixels: pixels.float() / 255), "dtype", "must be in 0..255"),
        (images(lambda pixels: pixels.float() * 1.5), "dtype", "..355.5"),
        (policy(lambda batch, _: replace(batch, targets=batch.targets.int())), "targets", "torch.int32 (1,)"),
        (policy(lambda batch, _: replace(batch, targets=batch.targets + 9)), "targets", "a class is out of range"),
        (
            policy(lambda batch, classes: replace(batch, targets=2.0 * one_hot(batch.targets, classes))),
            "targets",
            "shares sum to 2",
        ),
        (policy(lambda batch, _: replace(batch, index=batch.index * 0)), "counters", "index changed"),
        (policy(lambda batch, _: replace(batch, step=0)), "counters", "epoch or step changed"),
        (images(edit), "untouched", "it changed the images"),
        (images(lambda pixels: pixels.float() * random.random()), "determinism", "it draws from random"),
        (images(Remembers()), "determinism", "one seed gives two results"),
        (images(rarely_by(random.random)), "determinism", "it draws from random or numpy.random"),
        (images(rarely_by(np.random.rand)), "determinism", "it draws from random or numpy.random"),
        (images(Generator()), "determinism", "after another batch"),
        (images(seed_first), "determinism", "it seeds torch's generator itself"),
        (policy(lambda batch, _: replace(batch, targets=batch.targets.roll(1))), "targets", "keep their class"),
        (images(lambda pixels: pixels[torch.randperm(len(pixels))]), "distribution", "resembles another image"),
        (policy(wrong_partner), "soft_targets", "correlate by 0."),
        (policy(lambda batch, _: mixed(batch, 10, own=0.8)), "soft_targets", "built for 2 classes, it returns"),
        (policy(half_only), "distribution", "first and the second half"),
        (images(blank_some), "distribution", "images are blank"),
        (policy(lambda batch, _: replace(batch, targets=batch.targets // 2)), "distribution", "a class gets 10"),
        (images(mirror_half), "mirrors", "mirrors=False, and"),
        (images(lambda pixels: pixels, mirrors=True), "mirrors", "mirrors=True, and 0%"),
        (policy(lambda batch, classes: mixed(batch, classes, own=0.1)), "soft_targets", "correlate by 0."),
        (keeping(lambda batch, classes: mixed(batch, classes, own=0.8)), "vectors", "mixed by other shares"),
        (keeping(lambda batch, _: replace(batch, vectors=None)), "vectors", "or not at all"),
    ],
)  # fmt: skip
def test_a_broken_policy_breaks_its_rule(value: Any, rule: str, seen: str) -> None:
    finding = judge("p", rule, rule=policies.RULES[rule], target=value)
    assert not finding.ok, str(finding)
    assert seen in finding.seen
    assert finding.fix


def test_the_builder_without_mirroring_is_also_judged() -> None:
    whole = images(mirror_half, mirrors=True)
    value = replace(whole, unmirrored=whole.build)
    assert "unmirrored, and" in judge("p", "mirrors", rule=policies.RULES["mirrors"], target=value).seen


def test_a_policy_that_leaves_or_mixes_numbers_passes_and_one_that_says_nothing_is_not_judged() -> None:
    rule = policies.RULES["vectors"]
    assert judge("p", "vectors", rule=rule, target=keeping(lambda batch, _: batch)).ok
    assert judge("p", "vectors", rule=rule, target=policy(lambda batch, _: batch)).status == "skipped"


def test_the_rule_of_soft_targets_is_skipped_for_hard_targets() -> None:
    finding = judge("p", "soft_targets", rule=policies.RULES["soft_targets"], target=registry.get("policy", "none"))
    assert finding.status == "skipped"


def test_arguments_of_a_builder_need_a_default() -> None:
    def build(image: ImageSpec, classes: int, *, strength: float) -> Callable[[Batch], Batch]:
        return lambda batch: batch

    finding = judge(
        "p", "signature", rule=policies.RULES["signature"], target=Policy(name="p", build=build, summary="s")
    )
    assert not finding.ok


def test_an_argument_by_position_cannot_be_set_by_the_config() -> None:
    def build(image: ImageSpec, classes: int, strength: float = 0.5) -> Callable[[Batch], Batch]:
        return lambda batch: batch

    finding = judge(
        "p", "signature", rule=policies.RULES["signature"], target=Policy(name="p", build=build, summary="s")
    )
    assert "not keywords with a default: strength" in finding.seen


def test_a_batch_of_the_kit_is_as_the_loader_gives_it() -> None:
    for image in policies.SPECS:
        source = policies.batch(image, 7)
        assert source.images.shape == (7, image.channels, image.resize, image.resize)
        assert source.images.dtype == torch.uint8
        assert source.images.is_contiguous(memory_format=torch.channels_last)
        assert source.targets.max() < policies.CLASSES
        assert source.index.tolist() == [*range(100, 107)]


def test_every_builder_spec_and_count_is_tried() -> None:
    plain = images(lambda pixels: pixels)
    cases = len(policies.SPECS) * len(policies.COUNTS)
    assert sum(1 for _ in policies.runs(plain)) == cases
    assert sum(1 for _ in policies.runs(replace(plain, unmirrored=plain.build))) == 2 * cases


def test_a_fault_of_the_second_builder_is_found() -> None:
    value = replace(images(lambda pixels: pixels), unmirrored=images(lambda pixels: pixels.double()).build)
    assert "torch.float64" in judge("p", "dtype", rule=policies.RULES["dtype"], target=value).seen


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (lambda pixels: pixels + int(pixels.float().mean().item()), "item() cannot be called"),
        (lambda pixels: pixels.index_select(0, (pixels.amax((1, 2, 3)) >= 0).nonzero()[:, 0]), "nonzero"),
        (lambda pixels: pixels.cpu().to(pixels.device), "Cannot copy out"),
        (lambda pixels: pixels + torch.zeros(1, dtype=torch.uint8).to(pixels.device), "it copies between the CPU and"),
    ],
)
def test_a_policy_that_waits_for_an_accelerator_is_found_at_its_line(change: Any, seen: str) -> None:
    finding = judge("p", "waits", rule=policies.RULES["waits"], target=images(change))
    assert seen in finding.seen
    assert finding.status == "failed"
    assert "test_policies.py" in finding.place


@pytest.mark.parametrize("name", ["none", "standard", "standard+cutout", "shift", "resized-crop"])
def test_every_policy_of_the_core_is_capturable(name: str) -> None:
    finding = judge(name, "capturable", rule=policies.RULES["capturable"], target=registry.get("policy", name))
    assert (finding.status, finding.seen) == ("ok", "may be part of a CUDA graph")


def test_a_policy_that_reads_the_epoch_runs_eagerly_and_the_line_is_named() -> None:
    reading = policy(lambda batch, _: replace(batch, images=batch.images.roll(int(batch.epoch) % 2)))
    finding = judge("p", "capturable", rule=policies.RULES["capturable"], target=reading)
    assert finding.status == "skipped"
    assert "it reads a number of a tensor (at test_policies.py:" in finding.seen
    unwilling = replace(reading, capturable=False)
    finding = judge("p", "capturable", rule=policies.RULES["capturable"], target=unwilling)
    assert (finding.status, finding.seen) == ("skipped", "it says that it is not capturable, so it runs eagerly")


@pytest.mark.parametrize(("name", "summary"), [("", "s"), ("p", ""), ("p", "  ")])
def test_a_policy_needs_a_name_and_a_summary(name: str, summary: str) -> None:
    value = replace(images(lambda pixels: pixels), name=name, summary=summary)
    assert judge("p", "signature", rule=policies.RULES["signature"], target=value).seen == "name or summary is empty"


def test_a_builder_that_returns_no_function_is_named() -> None:
    value = Policy(name="p", build=lambda image, classes: None, summary="s")  # type: ignore[arg-type,return-value]
    assert "returns no function" in judge("p", "signature", rule=policies.RULES["signature"], target=value).seen


def test_an_inverted_picture_is_like_itself_and_another_is_not() -> None:
    source = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert policies._alike(source, 1 - source) == pytest.approx(torch.ones(4), abs=1e-5)
    assert policies._alike(source, source.roll(1, 0)).max() < 0.5


def test_halves_that_change_alike_are_not_apart() -> None:
    changes = torch.rand(20, 50, generator=torch.Generator().manual_seed(0))
    assert policies._places_apart(changes) < 3
    changes[:, :25] += 1
    assert policies._places_apart(changes) > 10
    assert policies._places_apart(torch.zeros(20, 50)) == 0
