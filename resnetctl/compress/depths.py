"""Remove residual blocks: which ones matter least, and the smaller network that is left.

A block that keeps its input's shape can be left out: its input is passed on. Removing blocks is the cheapest way to be
faster, because a network that has fewer of them is an ordinary one. The first block of a stage always stays, since it
changes the shape.

Shapes: N images, S pixels a side, C channels, K classes.
"""

import dataclasses
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnetctl.data.preprocess import normalise
from resnetctl.engine.metrics import Images
from resnetctl.errors import UsageError
from resnetctl.hints import Setting
from resnetctl.models.resnet import ResNet, build
from resnetctl.spec import Arch, ImageSpec

BATCH = 64  # images
SHOWN = 6  # lines of torch's error about tensors, at most
Depths = tuple[int, ...]


def importance(
    model: ResNet, images: Images, *, spec: ImageSpec, names: Iterable[str] | None = None
) -> dict[str, float]:
    """Return how much each removable block matters: the KL divergence of the outputs without it, in nats, by name.

    Args:
        model: in evaluation mode, on the CPU.
        images: (N, S, S, C) uint8.
        names: of the blocks; None: all that can be left out.
    """
    batches = [normalise(part, spec) for part in _batches(images)]
    with torch.no_grad():
        before = [model(batch).log_softmax(1) for batch in batches]
        return {
            name: _divergence(model, name, batches, before) for name in (removable(model) if names is None else names)
        }


def affordable(model: ResNet, images: Images, *, spec: ImageSpec, seconds: float) -> Images:
    """Return as many images, evenly chosen, as the importance of all blocks allows in this time; at least a batch."""
    if math.isinf(seconds) or len(images) <= BATCH:
        return images
    began = time.monotonic()
    importance(model, images[:BATCH], spec=spec, names=())
    needed = (time.monotonic() - began) / BATCH * len(list(removable(model)))  # seconds of an image
    count = min(len(images), max(BATCH, int(seconds / needed)) if needed else len(images))
    return images[[place * len(images) // count for place in range(count)]]


def removable(model: ResNet) -> Iterator[str]:
    """Yield the names of the blocks that can be left out: all but the first of each stage."""
    for stage in model.stages:
        for position in range(1, len(model.get_submodule(stage))):  # type: ignore[arg-type]
            yield f"{stage}.{position}"


def kept_blocks(depths: Depths, scores: Mapping[str, float], *, keep: Depths) -> list[list[int]]:
    """Return the positions of the blocks that stay in each stage: the first, and those that matter most.

    Args:
        depths: blocks of each stage now.
        scores: the importance of each removable block.
        keep: blocks of each stage that stay.
    """
    kept = []
    for number, (depth, count) in enumerate(zip(depths, keep, strict=True), start=1):
        others = sorted(range(1, depth), key=lambda place, stage=number: -scores[f"layer{stage}.{place}"])  # type: ignore[misc]
        kept.append(sorted([0, *others[: count - 1]]))
    return kept


def require_depths(arch: Arch, keep: Depths) -> None:
    """Raise `UsageError` unless `keep` leaves 1 to all blocks in each stage, and removes one."""
    has = ",".join(map(str, arch.depths))
    fits = len(keep) == len(arch.depths) and all(
        1 <= count <= depth for count, depth in zip(keep, arch.depths, strict=False)
    )
    if not fits:
        raise UsageError(
            f"{','.join(map(str, keep))} blocks cannot be kept: the stages have {has}, and each keeps at least one",
            where=Setting("keep_blocks"),
        )
    if keep == arch.depths:
        raise UsageError(f"the network has {has} blocks already", where=Setting("keep_blocks"))


def without_blocks(model: ResNet, kept: Sequence[Sequence[int]], *, image: ImageSpec) -> ResNet:
    """Return a new network of the blocks at the `kept` positions of each stage, with their weights."""
    depths = tuple(map(len, kept))
    names = {
        f"{stage}.{old}.": f"{stage}.{new}."
        for stage, places in zip(model.stages, kept, strict=True)
        for new, old in enumerate(places)
    }
    state = {new: value for name, value in model.state_dict().items() if (new := _renamed(name, names))}
    channels = {new: shape for name, shape in model.channels.items() if (new := _renamed(name, names))}
    with torch.random.fork_rng(devices=[]):
        arch = shallower(model.arch, depths)
        smaller = build(arch, classes=model.fc.out_features, image=image, channels=channels)
    try:
        smaller.load_state_dict(state)
    except RuntimeError as error:  # a block may have other parts at another place
        raise UsageError(
            f"block '{arch.block}' has weights that depend on its place in the network, so none can be removed",
            where=Setting("keep_blocks"),
            problems=str(error).strip().splitlines()[1:SHOWN],
        ) from None
    return smaller.eval()


def shallower(arch: Arch, depths: Depths) -> Arch:
    """Return the arch with other depths. Its name has them, since it is no longer the published one."""
    mark = "-channels" if arch.name.endswith("-channels") else ""
    base = arch.name.removesuffix(mark).partition("-blocks-")[0]
    name = f"{base}-blocks-{'-'.join(map(str, depths))}{mark}"
    return dataclasses.replace(arch, name=name, depths=depths, params=None, summary="", paper="")


def reestimate_norms(model: ResNet, images: Images, *, spec: ImageSpec) -> None:
    """Measure the mean and variance of every batch norm again, as the average over batches, without gradients.

    The inputs of a layer change when blocks before it are removed; its statistics are then those of another network.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches
        norm.train()
    with torch.no_grad():
        for batch in _batches(images):
            model(normalise(batch, spec))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()


def _divergence(model: ResNet, name: str, batches: Sequence[Tensor], before: Sequence[Tensor]) -> float:
    """Return the mean KL divergence of the outputs without one block."""
    stage, _, position = name.partition(".")
    blocks = model.get_submodule(stage)
    block = blocks.get_submodule(position)
    blocks.register_module(position, nn.Identity())
    try:
        sums = [
            F.kl_div(model(batch).log_softmax(1), old, reduction="sum", log_target=True).item()
            for batch, old in zip(batches, before, strict=True)
        ]
    finally:
        blocks.register_module(position, block)
    return sum(sums) / sum(map(len, batches))


def _renamed(name: str, names: Mapping[str, str]) -> str:
    """Return the new name of a tensor; "" if its block is left out."""
    if not name.startswith("layer"):
        return name
    stage, position, rest = name.split(".", 2)
    start = names.get(f"{stage}.{position}.")
    return start + rest if start is not None else ""


def _batches(images: Images) -> Iterator[Tensor]:
    """Yield images (N, S, S, C) as tensors (B, C, S, S), channels-last."""
    pixels = torch.from_numpy(np.require(images, requirements=["C", "W"])).permute(0, 3, 1, 2)
    for start in range(0, len(pixels), BATCH):
        yield pixels[start : start + BATCH]
