"""The rules of an init: what gives a new network its first weights."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from resnetctl.models.resnet import ResNet, build
from resnetctl.spec import Arch, ImageSpec
from resnetctl.testing.findings import SEED, Rule, Skipped, expect

CLASSES = 3
BATCH = 24
SIDE = 40  # pixels: 7x7 patches leave their neighbourhood
ARCHS = (
    Arch(name="basic", block="basic", depths=(1, 1), widths=(8, 16), stem="cifar"),
    Arch(name="wide stem", block="basic", depths=(1, 1), widths=(8, 16), stem="cifar", stem_width=64),
    Arch(name="preactivation", block="preact_basic", depths=(1, 1), widths=(8, 16), stem="imagenet"),
)

Init = Callable[..., Any]


def signature(init: Init) -> str:
    """It takes a network and images by position."""
    own = inspect.signature(init)
    try:
        own.bind(None, None)
    except TypeError as error:
        expect(False, f"it takes {own}: {error}")
    return str(own)


def parameters(init: Init) -> str:
    """It returns nothing, keeps names and shapes, and leaves finite parameters, of which some train."""
    count = 0
    for net, images in _cases():
        before = _layout(net)
        answer = init(net, images)
        expect(answer is None, f"it returned {type(answer).__name__}, not None")
        expect(_layout(net) == before, f"names or shapes of the parameters changed in {net.arch.name}")
        bad = [name for name, value in net.state_dict().items() if not value.isfinite().all()]
        expect(not bad, f"NaN or infinity in {', '.join(bad)} of {net.arch.name}")
        expect(any(item.requires_grad for item in net.parameters()), f"nothing is left to train in {net.arch.name}")
        expect(bool(net(images).isfinite().all()), f"the logits of {net.arch.name} are NaN or infinite")
        count += 1
    return f"{count} networks"


def repeats(init: Init) -> str:
    """The same network, images and seed give the same bits: a resumed run calls it again."""
    for (one, images), (two, _) in zip(_cases(), _cases(), strict=True):
        before = images.clone()
        for net in (one, two):
            torch.manual_seed(SEED)
            init(net, images)
        expect(torch.equal(images, before), "it changed the images")
        changed = [name for name, value in one.state_dict().items() if not torch.equal(value, two.state_dict()[name])]
        expect(not changed, f"a second call gives other values of {', '.join(changed)} of {one.arch.name}")
    return "bit-equal"


def frozen(init: Init) -> str:
    """Which parameters train does not depend on the images: a checkpoint has no record of it."""
    kept: set[str] = set()
    for (one, images), (two, _) in zip(_cases(), _cases(), strict=True):
        init(one, images)
        init(two, images.flip(0).square())
        own, other = _frozen(one), _frozen(two)
        expect(own == other, f"other images freeze other parameters: {', '.join(sorted(own ^ other))}")
        kept |= own
    return ", ".join(sorted(kept)) or "every parameter trains"


def _cases() -> Iterator[tuple[ResNet, Tensor]]:
    """Yield new networks of colour and grey images, with images."""
    for arch in ARCHS:
        for channels in (3, 1):
            image = ImageSpec(size=SIDE, channels=channels, mean=(0.5,) * channels, std=(0.25,) * channels)
            torch.manual_seed(SEED)
            net = build(arch, classes=CLASSES, image=image).eval()
            yield net, torch.randn(BATCH, channels, SIDE, SIDE).cumsum(3) / SIDE**0.5  # neighbours are alike


def _layout(net: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in net.state_dict().items()}


def _frozen(net: nn.Module) -> set[str]:
    return {name for name, item in net.named_parameters() if not item.requires_grad}


def _unless_refused(judge: Callable[[Init], str]) -> Callable[[Init], str]:
    """Return a rule that is skipped if the init refuses every network of the kit."""

    def rule(init: Init) -> str:
        refused: list[str] = []

        @torch.no_grad()
        def careful(net: nn.Module, images: Tensor) -> Any:
            try:
                return init(net, images)
            except ValueError as error:
                refused.append(str(error))
                return None

        seen = judge(careful)
        if len(refused) >= 2 * len(ARCHS):
            raise Skipped(f"it refuses every network of the kit: {refused[0]}")
        return seen

    rule.__doc__ = judge.__doc__
    return rule


RULES = {
    "signature": Rule(
        wants="a function of a network and images",
        judge=signature,
        fix="def f(model: nn.Module, images: Tensor) -> None",
    ),
    "parameters": Rule(
        wants="finite parameters of the same shapes, of which some train",
        judge=_unless_refused(parameters),
        fix="change parameters in place (value.copy_(..)), add a small number before you divide, and raise ValueError "
        "for a network that it cannot start",
    ),
    "repeats": Rule(
        wants="the same first weights from the same network, images and seed",
        judge=_unless_refused(repeats),
        fix="draw from torch's global generator only, keep no state, and do not change the images",
    ),
    "frozen": Rule(
        wants="frozen parameters that depend on the network alone",
        judge=_unless_refused(frozen),
        fix="choose by name or shape which parameters get requires_grad_(False)",
    ),
}
