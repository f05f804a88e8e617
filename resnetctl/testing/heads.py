"""The rules of a head: it builds on any backbone, learns from its truth, and answers in fixed shapes."""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from resnetctl import registry
from resnetctl.models.dense import backbone_of, build_net, head_card, reads_vector
from resnetctl.spec import Arch, Boxes, ImageSpec, Labels, Masks, Net, Tags, Truth, VectorSpec
from resnetctl.testing.findings import SEED, Rule, expect
from resnetctl.testing.schedules import settable

CLASSES, SIDE = 3, 96
IMAGE = ImageSpec(size=SIDE)
VECTOR = VectorSpec(columns=("a", "b", "c", "d"), mean=(0.0,) * 4, std=(1.0,) * 4)
SMALL = Arch(name="small", block="basic", depths=(1, 1, 1, 1), widths=(8, 8, 16, 16), stem="cifar")


def archs() -> tuple[Arch, ...]:
    """Return small archs with each kind of stem and block."""
    return (
        SMALL,
        replace(SMALL, name="photo", stem="imagenet"),
        replace(SMALL, name="preactivation", block="preact_basic"),
        replace(SMALL, name="bottleneck", block="bottleneck"),
    )


def truth_of(kind: str, images: int = 2) -> Truth:
    """Return the truth of a batch: two boxes in the first image and none in the last, or masks with unknown pixels."""
    if kind == "masks":
        masks = torch.zeros(images, SIDE, SIDE, dtype=torch.uint8)
        masks[:, SIDE // 4 : SIDE // 2, SIDE // 4 :] = 1
        masks[:, -4:] = 255
        return Masks(masks=masks)
    if kind == "labels":
        return Labels(labels=torch.arange(images) % CLASSES)
    if kind == "tags":
        return Tags(tags=(torch.arange(images * CLASSES).view(images, CLASSES) % 2).to(torch.uint8))
    boxes = torch.tensor([[8.0, 8, 40, 40], [48, 20, 90, 88]])
    offsets = torch.tensor([0, *[2] * images])
    return Boxes(offsets=offsets, boxes=boxes, labels=torch.tensor([0, 2]))


def net_of(head: Any, arch: Arch = SMALL) -> nn.Module:
    """Return the network of the head, always with the same weights."""
    card = head_card(head.name, {}, fitted=_fitted(head), vector=VECTOR)
    torch.manual_seed(SEED)
    return build_net(arch, card, classes=CLASSES, image=IMAGE)


def _fitted(head: Any) -> Mapping[str, Any]:
    if not hasattr(head, "fit_anchors"):
        return {}
    boxes = torch.rand(40, 2) * SIDE / 2
    whole = torch.cat([boxes, boxes + 4 + torch.rand(40, 2) * SIDE / 3], 1)
    fitted: Mapping[str, Any] = head.fit_anchors(whole, torch.arange(40) % CLASSES, IMAGE)
    return fitted


def _images(count: int = 2) -> Tensor:
    return torch.randn(count, IMAGE.channels, SIDE, SIDE, generator=torch.Generator().manual_seed(SEED))


def _numbers(head: Any, count: int = 2) -> tuple[Tensor, ...]:
    """Return the numbers of `_images`, for a head that reads them."""
    generator = torch.Generator().manual_seed(SEED)
    return (torch.randn(count, len(VECTOR.columns), generator=generator),) if reads_vector(head) else ()


def _kind(head: Any) -> str:
    kind: str = registry.get("task", head.task).truth
    return kind


def signature(head: Any) -> str:
    """It is an instance with a known task; `build` takes backbone, classes, image, and keywords with defaults."""
    expect(not isinstance(head, type), "it is a class, not an instance")
    expect(bool(head.name and head.summary.strip()), "name or summary is empty")
    expect(head.task in registry.names("task"), f"no task is called '{head.task}'")
    first, *others = inspect.signature(head.build).parameters.values()
    expect(first.kind is not inspect.Parameter.KEYWORD_ONLY, "it takes no backbone by position")
    needed = {"classes", "image"} | ({"vector"} if reads_vector(head) else set())
    expect(needed <= {item.name for item in others}, f"it does not take {' and '.join(sorted(needed))}")
    own = [item for item in others if item.name not in needed]
    wrong = settable(own)
    expect(not wrong, f"these arguments are not keywords with a default of numbers, text or switches: {wrong}")
    return ", ".join(item.name for item in own) or "no arguments"


def builds(head: Any) -> str:
    """It builds a network on small stems and large ones, on plain blocks, bottlenecks and pre-activation."""
    for arch in archs():
        net = net_of(head, arch)
        expect(isinstance(net, Net), f"on {arch.name} it builds a {type(net).__name__} without loss, forward or decode")
        backbone_of(net)
    return ", ".join(arch.name for arch in archs())


def learns(head: Any) -> str:
    """Its losses are finite numbers with gradients for the head and the trunk, also for images without an object."""
    net, truth = net_of(head).train(), truth_of(_kind(head))
    losses = net.loss(_images(), truth, *_numbers(head))  # type: ignore[operator]
    expect(isinstance(losses, Mapping) and bool(losses), "loss returns no mapping of losses")
    odd = [name for name, value in losses.items() if not (isinstance(value, Tensor) and value.ndim == 0)]
    expect(not odd, f"these losses are no single numbers: {', '.join(odd)}")
    total = torch.stack([value.float() for value in losses.values()]).sum()
    expect(bool(total.isfinite()), f"the loss is {float(total.detach())}")
    total.backward()  # type: ignore[no-untyped-call]
    still = [name for name, item in net.named_parameters() if item.requires_grad and item.grad is None]
    expect(not still, f"{len(still)} parameters have no gradient, such as {still[:1]}")
    if isinstance(truth, Labels):
        return ", ".join(losses)
    empty = net.loss(_images(), _empty(truth), *_numbers(head))  # type: ignore[operator]
    nothing = torch.stack([value.float() for value in empty.values()]).sum()
    expect(bool(nothing.isfinite()), f"the loss of images without an object is {float(nothing.detach())}")
    return ", ".join(losses)


def _empty(truth: Truth) -> Truth:
    """Return the truth of as many images without an object."""
    if isinstance(truth, Boxes):
        return truth.take(torch.tensor([1, 1]))
    return Tags(tags=truth.tags * 0) if isinstance(truth, Tags) else Masks(masks=truth.masks * 0 + 255)  # type: ignore[union-attr]


def answers(head: Any) -> str:
    """`decode` gives the outputs of the task, in shapes that follow from the number of images alone."""
    net, outputs = net_of(head).eval(), registry.get("task", head.task).outputs
    shapes = []
    for count in (1, 3):
        with torch.no_grad():
            decoded = net.decode(net(_images(count), *_numbers(head, count)))  # type: ignore[operator]
        expect(isinstance(decoded, tuple) and len(decoded) == len(outputs), f"it gives {type(decoded).__name__}")
        shapes.append([tuple(part.shape) for part in decoded])
    for output, one, three in zip(outputs, *shapes, strict=True):
        same = (one[0], three[0]) == (1, 3) and one[1:] == three[1:] and len(one) == len(output.shape)
        expect(same, f"'{output.name}' is {one} for one image and {three} for three")
    return ", ".join(f"{item.name} {shape[1:]}" for item, shape in zip(outputs, shapes[0], strict=True))


def alone(head: Any) -> str:
    """The answer for an image does not depend on the other images of its batch, and is the same every time."""
    net, inputs = net_of(head).eval(), (_images(3), *_numbers(head, 3))
    with torch.no_grad():
        batch = net.decode(net(*inputs))  # type: ignore[operator]
        single = net.decode(net(*(part[1:2] for part in inputs)))  # type: ignore[operator]
    task = registry.get("task", head.task)
    one, two = ([part[rows].numpy() for part in parts] for parts, rows in ((batch, slice(1, 2)), (single, slice(None))))
    agreement = task.agree(one, two)
    expect(agreement.share > 0.99, f"{agreement.same} of {agreement.total} answers are the same alone and in a batch")
    return f"{agreement.same} of {agreement.total} answers"


RULES = {
    "signature": Rule(
        wants="an instance with a known task, whose build takes a backbone, classes, image and keywords",
        judge=signature,
        fix="def build(self, backbone, *, classes: int, image: ImageSpec, levels: int = 3), with defaults",
    ),
    "builds": Rule(
        wants="a network on any arch",
        judge=builds,
        fix="read backbone.channels and backbone.reductions, and keep the backbone as a submodule",
    ),
    "learns": Rule(
        wants="finite losses with gradients, also without an object",
        judge=learns,
        fix="return a dict of 0-d tensors, and divide by max(1, ...) where there may be no object or no known pixel",
    ),
    "answers": Rule(
        wants="the outputs of the task in fixed shapes",
        judge=answers,
        fix="pad detections with score 0 and label -1; use topk and masks, no lists of changing length",
    ),
    "alone": Rule(
        wants="answers that do not depend on the rest of the batch",
        judge=alone,
        fix="share nothing between images: shift boxes by image and class before one NMS, and normalise in eval mode",
    ),
}
