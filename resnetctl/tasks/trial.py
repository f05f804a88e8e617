"""Trying what a plugin brings before a run begins: its mistakes would train to the end, or look like ours."""

from __future__ import annotations

import dataclasses
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
    from resnetctl.tasks.job import Job

DEEP = 2  # blocks of a stage: the first may halve, the others are alike
SIDE = 64  # pixels at most: a block that computes at all does so at any size
COUNT = 4  # images


def try_plugins(job: Job) -> None:
    """Use the block and the policy of a plugin once, on made-up images. The core's own are not tried.

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
    if not registry.distribution_of("policy", name):
        return policies.build(policy, job.image, num_classes=len(job.classes), mirror=mirror)
    try:
        transform = policies.build(policy, job.image, num_classes=len(job.classes), mirror=mirror)
    except (ResnetctlError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise _failed("policy", name, error) from error

    def guarded(batch: Batch) -> Batch:
        try:
            return transform(batch)
        except (ResnetctlError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            raise _failed("policy", name, error) from error

    return guarded


def _try_block(job: Job) -> None:
    name, least = job.arch.block, minimum_size(job.arch)
    arch = dataclasses.replace(job.arch, depths=tuple(min(depth, DEEP) for depth in job.arch.depths))
    size = max(least, min(SIDE, job.image.size))
    image = dataclasses.replace(job.image, size=size, resize=size)
    images = torch.rand(COUNT, image.channels, size, size)

    def answer(seed: int, state: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        torch.manual_seed(seed)
        model = build(arch, classes=len(job.classes), image=image)
        try:
            model.train()(images)
            if state is not None:
                model.load_state_dict(state)
            return model.eval()(images), model.state_dict()
        except (ResnetctlError, MemoryError):
            raise
        except Exception as error:
            raise _failed("block", name, error) from error

    first, state = answer(1)
    second, _ = answer(2, state)
    if not first.isfinite().all():
        raise _wrong("block", name, "its output is not finite on ordinary images")
    if (first - second).abs().max() > 1e-4 * first.abs().max():
        raise _wrong(
            "block", name, "two networks with the same weights differ: it keeps some that its state dict lacks"
        )


def _try_policy(job: Job) -> None:
    name, image, classes = job.config.augment, job.image, len(job.classes)
    images = torch.randint(0, 256, (COUNT, image.resize, image.resize, image.channels), dtype=torch.uint8)
    images = images.permute(0, 3, 1, 2)
    place = torch.arange(COUNT)
    kept = images.clone()
    found = augmentation(job)(Batch(images=images, targets=place % classes, index=place, epoch=0, step=0))
    if not isinstance(found, Batch):
        raise _wrong("policy", name, f"it gave a {type(found).__name__}, not a Batch")
    wanted = (COUNT, image.channels, image.size, image.size)
    if tuple(found.images.shape) != wanted:
        raise _wrong("policy", name, f"it gave images {tuple(found.images.shape)}, not {wanted}")
    if found.images.dtype not in (torch.uint8, torch.float32):
        raise _wrong("policy", name, f"it gave images of {found.images.dtype}, not uint8 or float32")
    if found.images.max() <= 1:
        raise _wrong("policy", name, "its images are in 0..1: they must stay in 0..255")
    if not torch.equal(images, kept):
        raise _wrong("policy", name, "it changed the images that it was given")
    _check_targets(name, found.targets, classes)


def _check_targets(name: str, targets: Tensor, classes: int) -> None:
    if tuple(targets.shape) == (COUNT,) and targets.dtype == torch.int64:
        if int(targets.min()) < 0 or int(targets.max()) >= classes:
            raise _wrong("policy", name, f"its targets are no classes from 0 to {classes - 1}")
        return
    if tuple(targets.shape) != (COUNT, classes) or not targets.is_floating_point():
        seen = f"{tuple(targets.shape)} of {targets.dtype}"
        raise _wrong(
            "policy", name, f"it gave targets {seen}, not ({COUNT},) of int64 or ({COUNT}, {classes}) of floats"
        )
    if not torch.allclose(targets.sum(dim=1), torch.ones(COUNT), atol=1e-3):
        raise _wrong("policy", name, f"the shares of a target sum to {float(targets[0].sum()):.3g}, not 1")


def _failed(kind: Kind, name: str, error: Exception) -> PluginError:
    text = (str(error).strip() or "no message").splitlines()[0]
    return _wrong(kind, name, f"{type(error).__name__}: {text}", line=own_line(error))


def _wrong(kind: Kind, name: str, seen: str, *, line: str = "") -> PluginError:
    entry = registry.find(kind, name)
    return PluginError(
        f"{kind} '{entry.name}' of {entry.distribution} {entry.version}: {seen}",
        where=line or entry.value,
        hint=f"resnetctl plugins check {entry.distribution}:{entry.name}",
    )
