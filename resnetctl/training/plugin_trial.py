"""Trying what a plugin brings before a run begins: its mistakes would train to the end, or look like ours."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from resnetctl import registry
from resnetctl.data import policies
from resnetctl.errors import PluginError, ResnetctlError, own_line
from resnetctl.models.resnet import build, minimum_size
from resnetctl.registry import Kind
from resnetctl.spec import Batch, Transform

if TYPE_CHECKING:
    from resnetctl.training.job import Job

DEEP = 2  # blocks of a stage: the first may halve, the others are alike
SIDE = 64  # pixels at most: a block that computes at all does so at any size
COUNT = 4  # images


def try_plugins(job: Job) -> None:
    """Use the block and the policy of a plugin once, on made-up images. The core's own are not tried.

    A module that draws or seeds while it is imported does so here, and decides nothing: torch's state is put back.

    Raises:
        PluginError: it fails, gives something else than it has to, or keeps weights that its state dict does not have.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        if registry.distribution_of("block", job.arch.block):
            _try_block(job)
        if registry.distribution_of("policy", job.config.augment):
            _try_policy(job)


def augmentation(job: Job) -> Transform:
    """The policy of the config on batches of this job. What a plugin's raises is a `PluginError` that names it."""
    name = job.config.augment
    mirror = bool(job.store.card.defaults.get("mirror", True))
    policy = registry.get("policy", name)
    with _named("policy", name):
        transform = policies.build(policy, job.image, num_classes=len(job.classes), mirror=mirror)

    def guarded(batch: Batch) -> Batch:
        with _named("policy", name):
            return transform(batch)

    return guarded


def _try_block(job: Job) -> None:
    name = job.arch.block
    arch = dataclasses.replace(job.arch, depths=tuple(min(depth, DEEP) for depth in job.arch.depths))
    size = max(minimum_size(arch), min(SIDE, job.image.size))
    image = dataclasses.replace(job.image, size=size, resize=size)
    images = torch.rand(COUNT, image.channels, size, size)

    def answer(seed: int, state: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        torch.manual_seed(seed)
        model = build(arch, classes=len(job.classes), image=image)
        model.train()(images)
        if state is not None:
            model.load_state_dict(state)
        return model.eval()(images), model.state_dict()

    with _named("block", name):
        first, state = answer(1)
        second, _ = answer(2, state)
    if not first.isfinite().all():
        raise _wrong("block", name, "its output is not finite on ordinary images")
    if (first - second).abs().max() > 1e-4 * first.abs().max():
        differ = "two networks with the same weights differ: it keeps some that its state dict lacks"
        raise _wrong("block", name, differ)


def _try_policy(job: Job) -> None:
    name, image, classes = job.config.augment, job.image, len(job.classes)
    pixels = torch.randint(0, 256, (COUNT, image.resize, image.resize, image.channels), dtype=torch.uint8)
    place = torch.arange(COUNT)
    given = Batch(images=pixels.permute(0, 3, 1, 2), targets=place % classes, index=place, epoch=0, step=0)
    kept = given.images.clone()
    found = augmentation(job)(given)
    for seen in policies.complaints(given, found, image=image, classes=classes).values():
        raise _wrong("policy", name, seen)
    if not torch.equal(given.images, kept):
        raise _wrong("policy", name, "it changed the images that it was given")


@contextlib.contextmanager
def _named(kind: Kind, name: str) -> Iterator[None]:
    """What a plugin raises within becomes an error that says whose it is; want of memory is nobody's."""
    if not registry.distribution_of(kind, name):
        yield
        return
    try:
        yield
    except (ResnetctlError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        text = (str(error).strip() or "no message").splitlines()[0]
        raise _wrong(kind, name, f"{type(error).__name__}: {text}", line=own_line(error)) from error


def _wrong(kind: Kind, name: str, seen: str, *, line: str = "") -> PluginError:
    entry = registry.find(kind, name)
    return PluginError(
        f"{kind} '{entry.name}' of {entry.distribution} {entry.version}: {seen}",
        where=line or entry.value,
        hint=f"resnetctl plugins check {entry.distribution}:{entry.name}",
    )
