"""The rules of a block inside a net of one block a stage: training, ONNX; torch.compile takes its second stage."""

import inspect
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import torch

from resnetctl import registry
from resnetctl.engine.fold import folded
from resnetctl.models.resnet import PLACE, ResNet, build
from resnetctl.spec import Activation, Arch, ImageSpec, WeightsCard
from resnetctl.testing.blocks import differ, jitter
from resnetctl.testing.findings import SEED, Rule, expect

NAME = "under_test"
WIDTHS = (16, 32)
IMAGE = ImageSpec(size=13, mean=(0.4, 0.5, 0.6))
CLASSES = ("a", "b", "c", "d")
TOLERANCE = 1e-4  # of the largest logit, as in the gate of an export


def network(block: Any, **changes: Any) -> ResNet:
    """Return a jittered net in evaluation mode: two stages of one block, at 13 pixels and then 7.

    `changes` are other values of its arch.

    Odd sides are hard to halve. There are only two stages, because each further one makes every check almost a second
    slower.
    """
    torch.manual_seed(SEED)
    arch = Arch(name=NAME, block=NAME, **({"depths": (1, 1), "widths": WIDTHS} | changes))
    with registry.overlay("block", **{NAME: block}):
        net = build(arch, classes=len(CLASSES), image=IMAGE)
    jitter(net)
    return net.eval()


def trains(block: Any) -> str:
    """Five steps of SGD on eight images lower the loss."""
    net = network(block).train()
    images, targets = torch.randn(8, 3, IMAGE.size, IMAGE.size), torch.arange(8) % len(CLASSES)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    losses = []
    for _ in range(6):
        torch.manual_seed(SEED)  # the same draws in every step, so that dropped branches do not hide the progress
        loss = torch.nn.functional.cross_entropy(net(images), targets)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    losses_text = f"loss {losses[0]:.3f} to {losses[-1]:.3f}"
    expect(losses[-1] < losses[0], losses_text)
    return losses_text


def compiles(block: Any) -> str:
    """`torch.compile` with the backend aot_eager makes one graph with the outputs and gradients of eager mode.

    It gets the stage that halves the sides and doubles the channels: tracing a whole net takes twice the time.
    """
    return compiles_together([block])[0]


def compiles_together(blocks: Sequence[Any]) -> list[str]:
    """The stages of several blocks in one graph agree with eager mode: each further stage takes less than a first."""
    stages = _Apart([network(block).get_submodule("layer2") for block in blocks])
    inputs = [torch.randn(2, WIDTHS[0] * block.expansion, IMAGE.size, IMAGE.size) for block in blocks]
    torch._dynamo.reset()
    try:
        compiled = torch.compile(stages, backend="aot_eager", fullgraph=True)(inputs)
        torch.stack([output.sum() for output in compiled]).sum().backward()  # type: ignore[no-untyped-call]
    finally:
        torch._dynamo.reset()
    gradients = [parameter.grad for parameter in stages.parameters()]
    stages.zero_grad(set_to_none=True)
    wanted = stages(inputs)
    torch.stack([output.sum() for output in wanted]).sum().backward()  # type: ignore[no-untyped-call]
    apart = [differ(one, other) for one, other in zip(wanted, compiled, strict=True)]
    expect(max(apart) < TOLERANCE, f"compiled and eager outputs differ by {max(apart):.1e}")
    for (name, parameter), other in zip(stages.named_parameters(), gradients, strict=True):
        if parameter.grad is not None:
            own = name.removeprefix("stages.").partition(".")[2]
            expect(other is not None and differ(parameter.grad, other) < 1e-2, f"the gradient of {own} differs")
    return [f"outputs within {each:.1e}" for each in apart]


class _Apart(torch.nn.Module):
    """Stages that get an input each."""

    def __init__(self, stages: Sequence[torch.nn.Module]) -> None:
        super().__init__()
        self.stages = torch.nn.ModuleList(stages)

    def forward(self, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return [stage(features) for stage, features in zip(self.stages, inputs, strict=True)]


def folds(block: Any) -> str:
    """The net with the norms folded that `foldable` names agrees with the net."""
    net, images = network(block), torch.randn(2, 3, IMAGE.size, IMAGE.size)
    fast = folded(net)
    with torch.no_grad():
        apart = differ(net(images), fast(images))
    expect(apart < TOLERANCE, f"logits differ by {apart:.1e} of the largest")
    before, after = (sum(isinstance(part, torch.nn.BatchNorm2d) for part in each.modules()) for each in (net, fast))
    return f"{before - after} of {before} norms folded"


def choices(block: Any) -> str:
    """The net takes every activation, and group norms, where the block names the layers to replace."""
    images = torch.randn(2, 3, IMAGE.size, IMAGE.size)
    activations, norms = (tuple(getattr(block, name, ())) for name in ("activations", "norms"))
    styles = [{"activation": name} for name in get_args(Activation) if activations]
    styles += [{"norm": "group"}] if norms else []
    for style in styles:
        net = network(block, **style)
        with torch.no_grad():
            expect(bool(net(images).isfinite().all()), f"with {style} the logits are NaN or infinity")
    names = {name.partition(".0.")[2] for name, _ in net.named_modules()} if styles else set()
    for listed in filter(None, (activations, norms)):
        expect(bool(names & {*listed}), f"no layer of the block is called {' or '.join(listed)}")
    if norms:
        left = [name for name, part in net.named_modules() if isinstance(part, torch.nn.modules.batchnorm._BatchNorm)]
        expect(not left, f"with group norm, batch norm is left in {', '.join(left)}")
    return " and ".join([*["activation"] * bool(activations), *["norm"] * bool(norms)]) or "the block has no choice"


def places(block: Any) -> str:
    """A block that asks where it is works at every place of a net of three stages."""
    named = [name for name in PLACE if name in inspect.signature(block).parameters]
    if not named:
        return "the block does not ask"
    net = network(block, depths=(2, 2, 2), widths=(16, 32, 64))
    with torch.no_grad():
        features = net.features(torch.randn(2, 3, IMAGE.size, IMAGE.size))
    for name, width, side in zip(net.stages, net.arch.widths, (13, 7, 4), strict=True):
        shape, wanted = tuple(features[name].shape), (2, width * block.expansion, side, side)
        expect(shape == wanted, f"{name} gives {shape}, not {wanted}")
        expect(bool(features[name].isfinite().all()), f"{name} gives NaN or infinity")
    return ", ".join(named)


def exports(block: Any) -> str:
    """The net as ONNX agrees with torch on batches of 1 and 3."""
    return exports_together([block])[0]


def exports_together(blocks: Sequence[Any]) -> list[str]:
    """The nets of several blocks, side by side in one ONNX file, agree with torch: torch exports any net in seconds.

    Folded norms and constant weights take a third off these seconds. Only torch's own `BatchNorm2d` is ever folded.
    """
    from resnetctl.deploy import onnx_session, onnx_writer

    nets = _SideBySide([network(block) for block in blocks]).eval().requires_grad_(False)
    card = WeightsCard(arch=nets.arch, classes=tuple(map(str, range(nets.classes))), image=IMAGE)
    model = onnx_session.from_bytes(onnx_writer.to_bytes(nets, card, weights_sha256="", gate={}), "the exported net")
    worst = [0.0] * len(blocks)
    for count in (1, 3):
        pixels = np.random.default_rng(count).integers(0, 256, (count, IMAGE.size, IMAGE.size, 3), dtype=np.uint8)
        with torch.no_grad():
            wanted = onnx_writer.Deployed(nets, IMAGE)(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255)[0]
        pairs = zip(_by_net(wanted), _by_net(torch.from_numpy(model.logits(pixels))), strict=True)
        worst = [max(old, differ(one, two)) for old, (one, two) in zip(worst, pairs, strict=True)]
        expect(max(worst) < TOLERANCE, f"logits differ by {max(worst):.1e} of the largest, {count} images at once")
    return [f"logits within {apart:.1e}" for apart in worst]


class _SideBySide(torch.nn.Module):
    """Folded nets that get the same images. Their logits stand one after the other, as if they had one head."""

    def __init__(self, nets: Sequence[ResNet]) -> None:
        super().__init__()
        self.nets = torch.nn.ModuleList([folded(net) for net in nets])
        self.arch, self.classes = nets[0].arch, len(nets) * len(CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([net(images) for net in self.nets], 1)


def _by_net(logits: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return torch.split(logits, len(CLASSES), 1)


RULES = {
    "folding": Rule(
        wants="folding the norms that `foldable` names changes no logit",
        judge=folds,
        fix="name a pair in foldable only if the norm alone reads the convolution, and both are called once",
    ),
    "choices": Rule(
        wants="layers that model.activation and model.norm can replace, where the block names them",
        judge=choices,
        fix="name every norm of the block in `norms` and its activations in `activations`; call them as modules",
    ),
    "places": Rule(
        wants="a block that names stage, index or depth works at every place of a net",
        judge=places,
        fix="stage and index count from 1, and depth is the number of blocks, so index / depth is at most 1; give an "
        "argument of your own another name",
    ),
    "trains": Rule(
        wants="a few steps lower the loss",
        judge=trains,
        fix="check the output's scale: norm each branch, define reset_parameters where He's initialisation fails",
    ),
    "compile": Rule(
        wants='torch.compile(backend="aot_eager") makes one graph that agrees with eager',
        judge=compiles,
        together=compiles_together,
        fix="use no Python state, .item(), numpy or data-dependent branches in forward",
    ),
    "onnx": Rule(
        wants="the exported net agrees with torch at every batch size",
        judge=exports,
        together=exports_together,
        fix="use operations that ONNX has; take no batch size from x.shape as a Python number",
    ),
}
