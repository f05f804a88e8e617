"""The rules of a residual block by itself; `networks` has the rules that need a whole net.

A block is judged with its default arguments (`bound` sets others), at the widths of a ResNet-20.
"""

import copy
import inspect
from collections.abc import Iterator, Mapping
from functools import partialmethod
from typing import Any

import torch
from torch import Tensor, nn

from resnetctl.config.arguments import with_floats
from resnetctl.models.resnet import RATES
from resnetctl.testing.findings import Broken, Rule, expect
from resnetctl.testing.nets.changes import require_unchanged
from resnetctl.testing.nets.dtypes import require_all_moves, require_bfloat16, require_registered

WIDTHS = (16, 32, 64)  # the stages of a ResNet-20
SIZES = ((8, 8), (7, 7), (9, 6), (2, 5), (3, 1), (1, 1))  # height, width; late stages of odd images get such sizes
JITTERS = 8  # draws of the parameters: a ReLU can be dead in one draw, but hardly in all eight
BATCH = 4


def bound(block: Any, block_args: Mapping[str, Any]) -> Any:
    """Return the class with `block_args` as defaults, in the types of a run; the class itself without any."""
    if not block_args:
        return block
    arguments = with_floats(block_args, block)
    return type(block.__name__, (block,), {"__init__": partialmethod(block.__init__, **arguments)})


def jitter(module: nn.Module, scale: float = 0.1) -> None:
    """Change every parameter and running statistic a little, so that zero-initialised ones have an effect."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=scale)
        saved = module.state_dict().keys()  # other buffers are constants
        for name, buffer in module.named_buffers():
            if name in saved and buffer.is_floating_point():
                buffer.mul_(1 + scale * torch.rand_like(buffer))


def differ(one: Tensor, two: Tensor) -> float:
    """Return the largest difference, relative to the largest value of `one`."""
    return ((one - two).abs().max() / one.abs().max().clamp(min=1e-6)).item()


def cases(block: Any) -> Iterator[tuple[int, int, int]]:
    """Yield (in_channels, width, stride) with equal shapes, a new width, and a halving, after a stem and a block."""
    for width in WIDTHS:
        for stride in (1, 2):
            yield width * block.expansion, width, stride
            yield 16, width, stride


def make(block: Any, in_channels: int, *, width: int = 32, stride: int = 2) -> nn.Module:
    """Return a jittered instance in evaluation mode."""
    unit: nn.Module = block(in_channels, width, stride=stride)
    jitter(unit)
    return unit.eval()


def images(in_channels: int, *, height: int = 8, width: int = 8) -> Tensor:
    """Return random features after a ReLU, `(BATCH, in_channels, height, width)`."""
    return torch.randn(BATCH, in_channels, height, width).relu()


def signature(block: Any) -> str:
    """The network can create the block from its arch."""
    expect(isinstance(block, type) and issubclass(block, nn.Module), f"{block!r} is not an nn.Module class")
    expect(type(block.__dict__.get("expansion", getattr(block, "expansion", None))) is int, "expansion is not an int")
    expect(block.expansion >= 1, f"expansion is {block.expansion}")
    flag = getattr(block, "preactivation", False)
    expect(isinstance(flag, bool), f"preactivation is {flag!r}, not a bool")
    own = inspect.signature(block)
    parameters = list(own.parameters.values())
    expect([item.name for item in parameters[:2]] == ["in_channels", "width"], f"it takes {own}")
    expect("stride" in own.parameters and own.parameters["stride"].default == 1, f"it takes {own}")
    for item in parameters[2:]:
        free = item.kind in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        expect(
            free or isinstance(item.default, bool | int | float | str),
            f"'{item.name}' has no bool, int, float or str as default",
        )
    return str(own)


def shapes(block: Any) -> str:
    """The block maps `(N, in, H, W)` to `(N, width * expansion, ceil(H / stride), ceil(W / stride))`."""
    count = 0
    for in_channels, width, stride in cases(block):
        unit = make(block, in_channels, width=width, stride=stride)
        for height, wide in SIZES:
            with torch.no_grad():
                output = unit(images(in_channels, height=height, width=wide))
            shape = tuple(output.shape)
            wanted = (BATCH, width * block.expansion, -(-height // stride), -(-wide // stride))
            call = f"block({in_channels}, {width}, stride={stride}) on {height}x{wide}"
            expect(shape == wanted, f"{call} gives {shape}, not {wanted}")
            expect(bool(output.isfinite().all()), f"{call} gives NaN or infinity")
            count += 1
    return f"{count} shapes"


def downsample(block: Any) -> str:
    """The block has its shortcut in `downsample`, as in torchvision."""
    unit = block(16, 32, stride=2)
    expect(hasattr(unit, "downsample"), f"its children are {', '.join(dict(unit.named_children())) or 'none'}")
    is_idle = unit.downsample is None or isinstance(unit.downsample, nn.Identity)
    expect(not is_idle, "it does nothing at stride 2, where the shape changes")
    return type(unit.downsample).__name__


def gradients(block: Any) -> str:
    """Every parameter gets a gradient that is not all zero, in training."""
    names = 0
    for in_channels, stride in ((32 * block.expansion, 1), (16, 2)):
        idle = {name for name, _ in block(in_channels, 32, stride=stride).named_parameters()}
        names += len(idle)
        for _ in range(JITTERS):
            unit = make(block, in_channels, stride=stride).train()
            output = unit(images(in_channels))
            (output * torch.randn_like(output)).sum().backward()
            idle -= {name for name, item in unit.named_parameters() if item.grad is not None and item.grad.any()}
        expect(not idle, f"no gradient reaches {', '.join(sorted(idle))} at stride {stride}")
    return f"{names} parameters"


def input_gradient(block: Any) -> str:
    """The block does not change the input in place, and the gradient reaches the input."""
    for in_channels, stride in ((32 * block.expansion, 1), (16, 2)):
        entered = images(in_channels).requires_grad_()
        unit = make(block, in_channels, stride=stride).train()
        output = require_unchanged(unit, entered * 1.0, case=f"at stride {stride}")
        (output * torch.randn_like(output)).sum().backward()  # type: ignore[no-untyped-call]
        expect(entered.grad is not None and bool(entered.grad.any()), f"none at stride {stride}")
    return "reaches the input, which is unchanged"


def determinism(block: Any) -> str:
    """In evaluation the output depends on the input alone: no draws, no learning, no state between calls."""
    for in_channels, stride in ((32 * block.expansion, 1), (16, 2)):
        unit, features = make(block, in_channels, stride=stride), images(in_channels)
        before, unused = {name: value.clone() for name, value in unit.state_dict().items()}, copy.deepcopy(unit)
        with torch.no_grad():
            unit(images(in_channels, height=6) * 2)
            first, second, alone = unit(features), unit(features), unused(features)
        expect(torch.equal(first, second), f"two runs differ by {differ(first, second):.1e} of the largest value")
        expect(torch.equal(first, alone), f"after other images it differs by {differ(first, alone):.1e}")
        changed = [name for name, value in unit.state_dict().items() if not torch.equal(value, before[name])]
        expect(not changed, f"evaluation changed {', '.join(changed)}")
    return "bit-equal"


def independence(block: Any) -> str:
    """In evaluation no image depends on the others of its batch."""
    for in_channels, stride in ((32 * block.expansion, 1), (16, 2)):
        unit, features = make(block, in_channels, stride=stride), images(in_channels)
        with torch.no_grad():
            together, alone = unit(features), torch.cat([unit(one[None]) for one in features])
        apart = differ(together, alone)
        expect(apart < 1e-4, f"alone and in a batch differ by {apart:.1e} of the largest value")
    return "alone as in a batch"


def channels_last(block: Any) -> str:
    """Channels-last input gives the same numbers in channels-last: a copy in each block costs a third of a run."""
    for in_channels, stride in ((32 * block.expansion, 1), (16, 2)):
        unit, features = make(block, in_channels, stride=stride), images(in_channels)
        with torch.no_grad():
            plain = unit(features)
            unit = unit.to(memory_format=torch.channels_last)
            output = unit(features.to(memory_format=torch.channels_last))
        apart = differ(plain, output)
        expect(apart < 1e-4, f"the output differs by {apart:.1e} of the largest value at stride {stride}")
        kept = output.is_contiguous(memory_format=torch.channels_last)
        expect(kept, f"the output has strides {output.stride()} at stride {stride}")
    return "the same numbers, channels-last"


def bf16(block: Any) -> str:
    """A step under bfloat16 autocast is finite and close to float32."""
    worst = 0.0
    require_all_moves(block(16, 32, stride=2))
    for in_channels, stride in ((32 * block.expansion, 1), (16, 2)):
        unit, features = make(block, in_channels, stride=stride).train(), images(in_channels)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = unit(features)
        output.float().sum().backward()
        finite = all(item.grad.isfinite().all() for item in unit.parameters() if item.grad is not None)
        expect(finite and bool(output.isfinite().all()), f"NaN or infinity at stride {stride}")
        full = copy.deepcopy(unit)(features)
        apart = ((full - output.float()).norm() / full.norm().clamp(min=1e-6)).item()
        worst = max(worst, apart)
        expect(apart < 0.05, f"{apart:.1%} away from float32 at stride {stride}")
        whole = unit.to(torch.bfloat16)(features.to(torch.bfloat16))
        require_bfloat16(unit, whole, case=f"at stride {stride}")
    return f"{worst:.1%} away from float32"


def state_dict(block: Any) -> str:
    """Keys and shapes depend on the arguments alone, and the state dict restores the whole block."""
    unit, twin, features = make(block, 16).train(), block(16, 32, stride=2), images(16)
    require_registered(twin)
    before = _layout(unit)
    expect(before == _layout(twin), "two instances have different keys or shapes")
    unit(features).sum().backward()
    changed = {key for key, _ in before.items() ^ _layout(unit).items()}
    expect(not changed, f"a training step changed the keys or shapes of {', '.join(sorted(changed))}")
    twin.load_state_dict(unit.state_dict())
    with torch.no_grad():
        apart = differ(unit.eval()(features), twin.eval()(features))
    expect(apart < 1e-6, f"a restored copy differs by {apart:.1e}: some state is not in the state dict")
    for seed in range(JITTERS):
        apart = differ(_step(unit, features, seed=seed), _step(twin, features, seed=seed))
        wrong = f"a restored copy trains differently, by {apart:.1e}, under one seed of torch"
        expect(apart < 1e-6, f"{wrong}: some state is not in the state dict, or another generator draws")
    return f"{len(before)} keys"


def deepcopy(block: Any) -> str:
    """A copy computes the same and shares nothing: the EMA and the export use copies."""
    unit, features = make(block, 16), images(16)
    twin = copy.deepcopy(unit)
    with torch.no_grad():
        expect(torch.equal(unit(features), twin(features)), "the copy computes other numbers")
        for parameter in unit.parameters():
            parameter.zero_()
    shared = [name for name, item in twin.named_parameters() if item.numel() and not item.any()]
    expect(not shared, f"the copy shares {', '.join(shared)}")
    return "equal, nothing shared"


def initialisation(block: Any) -> str:
    """A new block has finite parameters and stored buffers on the current device."""
    unit = block(16, 32, stride=2)
    bad = [name for name, item in unit.state_dict().items() if not item.isfinite().all()]
    expect(not bad, f"NaN or infinity in {', '.join(bad)}")
    with torch.device("meta"):
        away = block(16, 32, stride=2)
    stray = [name for name, item in away.state_dict().items() if item.device.type != "meta"]
    expect(not stray, f"on the CPU although another device is current: {', '.join(stray)}")
    return "finite, on its device"


def rates(block: Any) -> str:
    """The block's `dropout` and `drop_path`, if any, act in training, not in evaluation, and refuse 1.5."""
    named = [name for name in RATES if name in inspect.signature(block).parameters]
    for name in named:
        unit = block(16, 32, stride=2, **{name: 0.5})
        jitter(unit)
        features = images(16)
        with torch.no_grad():
            acts = any(not torch.equal(unit.train()(features), unit(features)) for _ in range(JITTERS))
            expect(acts, f"{name}=0.5 changes nothing in training")
            expect(torch.equal(unit.eval()(features), unit(features)), f"{name} acts in evaluation")
        try:
            block(16, 32, stride=2, **{name: 1.5})
        except ValueError:
            continue
        raise Broken(f"{name}=1.5 is accepted")
    return ", ".join(named) or "the block has none"


def _step(module: nn.Module, features: Tensor, *, seed: int) -> Tensor:
    """Return the output in training mode, seeded as the engine seeds a step."""
    torch.manual_seed(seed)
    with torch.no_grad():
        output: Tensor = module.train()(features)
    return output


def _layout(module: nn.Module) -> dict[str, str]:
    return {name: f"{value.dtype} {tuple(value.shape)}" for name, value in module.state_dict().items()}


RULES = {
    "signature": Rule(
        wants="a class that the network can create from an arch",
        judge=signature,
        fix="class B(nn.Module) with `expansion: int` and __init__(self, in_channels, width, *, stride=1, ...), "
        "every further argument with a bool, int, float or str default",
    ),
    "shapes": Rule(
        wants="finite numbers in the documented shape, for every width, stride and size",
        judge=shapes,
        fix="return (N, width * expansion, ceil(H / stride), ceil(W / stride)): pad 3x3 convolutions by 1, and use a "
        "shortcut that changes the shape if stride or channels change; do not divide by numbers that can be 0",
    ),
    "input": Rule(
        wants="a gradient for the input, and an unchanged input",
        judge=input_gradient,
        fix="do not detach the input; use no in-place operation (inplace=True, +=, out=) on the input or on what "
        "may be the input, such as the output of nn.Identity() in self.downsample",
    ),
    "downsample": Rule(
        wants="a shortcut in the block, named `downsample`",
        judge=downsample,
        fix="name the shortcut self.downsample (nn.Identity() or None if the shape stays)",
    ),
    "gradients": Rule(
        wants="a gradient for every parameter",
        judge=gradients,
        fix="use the parameter in forward, without .detach(), .data or torch.no_grad(), or do not create it",
    ),
    "determinism": Rule(
        wants="evaluation draws and learns nothing",
        judge=determinism,
        fix="put random draws and updates of buffers under `if self.training`; keep no state between calls",
    ),
    "independence": Rule(
        wants="evaluation treats each image alone",
        judge=independence,
        fix="use running statistics in evaluation; take no mean over the batch",
    ),
    "channels_last": Rule(
        wants="channels-last in, the same numbers channels-last out",
        judge=channels_last,
        fix="avoid .view, .contiguous and .reshape of the feature map; flatten only after pooling",
    ),
    "bf16": Rule(
        wants="a finite step under bfloat16 autocast",
        judge=bf16,
        fix="compute exp, division and norms in float32; add no constants like 1e-8 to bfloat16 values",
    ),
    "state_dict": Rule(
        wants="keys and shapes that do not change, and hold all state",
        judge=state_dict,
        fix="create all parameters in __init__; call register_buffer for every other tensor; draw with torch",
    ),
    "deepcopy": Rule(
        wants="copy.deepcopy gives an equal block that shares nothing",
        judge=deepcopy,
        fix="keep no computed tensors, closures or other modules' parameters as attributes",
    ),
    "initialisation": Rule(
        wants="finite parameters on the current device",
        judge=initialisation,
        fix="initialise what torch.empty creates; create tensors in __init__ without a fixed device",
    ),
    "rates": Rule(
        wants="dropout and drop_path act in training only",
        judge=rates,
        fix="use nn.Dropout(dropout) and resnetctl.blocks.DropPath(drop_path), or give the argument another name; "
        "torchvision's StochasticDepth accepts any rate, so raise ValueError in __init__ unless 0 <= drop_path < 1",
    ),
}
