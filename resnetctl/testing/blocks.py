"""The rules of a residual block by itself. `networks` has those that need a whole net.

A block is judged with its default arguments (`bound` sets others), at the widths that small and large nets have.
"""

import copy
import inspect
from collections.abc import Iterator, Mapping
from functools import partialmethod
from typing import Any

import torch
from torch import Tensor, nn

from resnetctl.models.resnet import RATES
from resnetctl.testing.findings import Broken, Rule, expect

WIDTHS = (16, 32, 64)  # the stages of a ResNet-20
SIZES = ((8, 8), (7, 7), (9, 6), (2, 5), (3, 1), (1, 1))  # height, width: what odd images come to in later stages
JITTERS = 8  # a ReLU can be dead under one draw of parameters, not under so many
BATCH = 4


def bound(block: Any, block_args: Mapping[str, Any]) -> Any:
    """The class with other defaults; itself where there are none."""
    if not block_args:
        return block
    return type(block.__name__, (block,), {"__init__": partialmethod(block.__init__, **block_args)})


def jitter(module: nn.Module, scale: float = 0.1) -> None:
    """Move every parameter and running statistic a little, so that zero-initialised ones take part."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=scale)
        kept = module.state_dict().keys()  # a buffer that is not kept is a constant
        for name, buffer in module.named_buffers():
            if name in kept and buffer.is_floating_point():
                buffer.mul_(1 + scale * torch.rand_like(buffer))


def differ(one: Tensor, two: Tensor) -> float:
    """The largest difference, as a share of the largest value."""
    return ((one - two).abs().max() / one.abs().max().clamp(min=1e-6)).item()


def cases(block: Any) -> Iterator[tuple[int, int, int]]:
    """(in_channels, width, stride): the same shape, a new width, a halving; after the stem and after a block."""
    for width in WIDTHS:
        for stride in (1, 2):
            yield width * block.expansion, width, stride
            yield 16, width, stride


def make(block: Any, in_channels: int, *, width: int = 32, stride: int = 2) -> nn.Module:
    """A jittered instance in evaluation mode."""
    made: nn.Module = block(in_channels, width, stride=stride)
    jitter(made)
    return made.eval()


def images(in_channels: int, *, height: int = 8, width: int = 8) -> Tensor:
    """Features as a ReLU leaves them, `(BATCH, in_channels, height, width)`."""
    return torch.randn(BATCH, in_channels, height, width).relu()


def signature(block: Any) -> str:
    """The class is one that the trunk can call."""
    expect(isinstance(block, type) and issubclass(block, nn.Module), f"{block!r} is no nn.Module class")
    expect(type(block.__dict__.get("expansion", getattr(block, "expansion", None))) is int, "expansion is no int")
    expect(block.expansion >= 1, f"expansion is {block.expansion}")
    flag = getattr(block, "preactivation", False)
    expect(isinstance(flag, bool), f"preactivation is {flag!r}, no bool")
    found = inspect.signature(block)
    parameters = list(found.parameters.values())
    expect([item.name for item in parameters[:2]] == ["in_channels", "width"], f"it takes {found}")
    expect("stride" in found.parameters and found.parameters["stride"].default == 1, f"it takes {found}")
    for item in parameters[2:]:
        free = item.kind in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        expect(free or isinstance(item.default, bool | int | float | str), f"'{item.name}' has no plain default")
    return str(found)


def shapes(block: Any) -> str:
    """`(N, in, H, W)` to `(N, width * expansion, ceil(H / stride), ceil(W / stride))`."""
    count = 0
    for in_channels, width, stride in cases(block):
        made = make(block, in_channels, width=width, stride=stride)
        for height, wide in SIZES:
            with torch.no_grad():
                output = made(images(in_channels, height=height, width=wide))
            found = tuple(output.shape)
            wanted = (BATCH, width * block.expansion, -(-height // stride), -(-wide // stride))
            made_by = f"block({in_channels}, {width}, stride={stride}) on {height}x{wide}"
            expect(found == wanted, f"{made_by} gave {found}, not {wanted}")
            expect(bool(output.isfinite().all()), f"{made_by} gave NaN or infinity")
            count += 1
    return f"{count} shapes"


def downsample(block: Any) -> str:
    """The block owns its shortcut under the name that surgery, export and readers look for."""
    made = block(16, 32, stride=2)
    expect(hasattr(made, "downsample"), f"its children are {', '.join(dict(made.named_children())) or 'none'}")
    idle = made.downsample is None or isinstance(made.downsample, nn.Identity)
    expect(not idle, "it does nothing at stride 2, where the shape changes")
    return type(made.downsample).__name__


def gradients(block: Any) -> str:
    """Every parameter gets a gradient that is not all zero, in training."""
    names = 0
    for in_channels, stride in ((32 * block.expansion, 1), (16, 2)):
        idle = {name for name, _ in block(in_channels, 32, stride=stride).named_parameters()}
        names += len(idle)
        for _ in range(JITTERS):
            made = make(block, in_channels, stride=stride).train()
            found = made(images(in_channels))
            (found * torch.randn_like(found)).sum().backward()
            idle -= {name for name, item in made.named_parameters() if item.grad is not None and item.grad.any()}
        expect(not idle, f"no gradient reaches {', '.join(sorted(idle))} at stride {stride}")
    return f"{names} parameters"


def input_gradient(block: Any) -> str:
    """The gradient goes on to what comes before, and the input is not written to."""
    for in_channels, stride in ((32 * block.expansion, 1), (16, 2)):
        features = images(in_channels)
        entered = features.clone().requires_grad_()
        # the trunk hands over what a ReLU made in place, which autograd still needs
        made = make(block, in_channels, stride=stride).train()
        passed = entered * 1.0
        found = made(passed)
        (found * torch.randn_like(found)).sum().backward()
        expect(entered.grad is not None and bool(entered.grad.any()), f"none at stride {stride}")
        expect(torch.equal(passed.detach(), features), f"the input was changed in place at stride {stride}")
    return "reaches the input, which is as it was"


def determinism(block: Any) -> str:
    """In evaluation the output is a function of the input: nothing drawn, learned, or kept from another call."""
    for in_channels, stride in ((32 * block.expansion, 1), (16, 2)):
        made, features = make(block, in_channels, stride=stride), images(in_channels)
        before, unused = {name: value.clone() for name, value in made.state_dict().items()}, copy.deepcopy(made)
        with torch.no_grad():
            made(images(in_channels, height=6) * 2)
            first, second, alone = made(features), made(features), unused(features)
        expect(torch.equal(first, second), f"two runs differ by {differ(first, second):.1e} of the largest value")
        expect(torch.equal(first, alone), f"after other images it differs by {differ(first, alone):.1e}")
        changed = [name for name, value in made.state_dict().items() if not torch.equal(value, before[name])]
        expect(not changed, f"evaluation changed {', '.join(changed)}")
    return "bit-equal"


def independence(block: Any) -> str:
    """In evaluation no image depends on the others of its batch."""
    for in_channels, stride in ((32 * block.expansion, 1), (16, 2)):
        made, features = make(block, in_channels, stride=stride), images(in_channels)
        with torch.no_grad():
            together, alone = made(features), torch.cat([made(one[None]) for one in features])
        apart = differ(together, alone)
        expect(apart < 1e-4, f"alone and in a batch differ by {apart:.1e} of the largest value")
    return "alone as in a batch"


def channels_last(block: Any) -> str:
    """Channels-last strides give the same numbers, and stay channels-last: a copy at each block costs a third."""
    for in_channels, stride in ((32 * block.expansion, 1), (16, 2)):
        made, features = make(block, in_channels, stride=stride), images(in_channels)
        with torch.no_grad():
            plain = made(features)
            made = made.to(memory_format=torch.channels_last)
            found = made(features.to(memory_format=torch.channels_last))
        apart = differ(plain, found)
        expect(apart < 1e-4, f"the output differs by {apart:.1e} of the largest value at stride {stride}")
        kept = found.is_contiguous(memory_format=torch.channels_last)
        expect(kept, f"the output has strides {found.stride()} at stride {stride}")
    return "the same numbers, channels-last"


def bf16(block: Any) -> str:
    """A step under bfloat16 autocast is finite and close to float32."""
    worst = 0.0
    for in_channels, stride in ((32 * block.expansion, 1), (16, 2)):
        made, features = make(block, in_channels, stride=stride).train(), images(in_channels)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = made(features)
        found.float().sum().backward()
        finite = all(item.grad.isfinite().all() for item in made.parameters() if item.grad is not None)
        expect(finite and bool(found.isfinite().all()), f"NaN or infinity at stride {stride}")
        full = copy.deepcopy(made)(features)
        apart = ((full - found.float()).norm() / full.norm().clamp(min=1e-6)).item()
        worst = max(worst, apart)
        expect(apart < 0.05, f"{apart:.1%} away from float32 at stride {stride}")
        whole = made.to(torch.bfloat16)(features.to(torch.bfloat16))
        kept = whole.dtype == torch.bfloat16 and bool(whole.isfinite().all())
        expect(kept, f"a block of bfloat16 parameters gives NaN, infinity or {whole.dtype} at stride {stride}")
    return f"{worst:.1%} away from float32"


def state_dict(block: Any) -> str:
    """Names and shapes are a function of the arguments, do not change by running, and restore what it does next."""
    made, twin, features = make(block, 16).train(), block(16, 32, stride=2), images(16)
    before = _layout(made)
    expect(before == _layout(twin), "two instances have different keys or shapes")
    made(features).sum().backward()
    changed = {key for key, _ in before.items() ^ _layout(made).items()}
    expect(not changed, f"a training step changed the keys or shapes of {', '.join(sorted(changed))}")
    twin.load_state_dict(made.state_dict())
    with torch.no_grad():
        apart = differ(made.eval()(features), twin.eval()(features))
    expect(apart < 1e-6, f"a restored copy differs by {apart:.1e}: something that matters is not in the state dict")
    for seed in range(JITTERS):
        apart = differ(_step(made, features, seed=seed), _step(twin, features, seed=seed))
        wrong = f"a restored copy trains differently, by {apart:.1e}, under one seed of torch"
        expect(apart < 1e-6, f"{wrong}: state that is not kept, or a draw from another generator")
    return f"{len(before)} keys"


def deepcopy(block: Any) -> str:
    """A copy computes the same and shares nothing: the average of weights and the export are made from one."""
    made, features = make(block, 16), images(16)
    twin = copy.deepcopy(made)
    with torch.no_grad():
        expect(torch.equal(made(features), twin(features)), "the copy computes something else")
        for parameter in made.parameters():
            parameter.zero_()
    shared = [name for name, item in twin.named_parameters() if item.numel() and not item.any()]
    expect(not shared, f"the copy shares {', '.join(shared)}")
    return "equal and apart"


def initialisation(block: Any) -> str:
    """A new block has finite parameters, on the device where it is made."""
    made = block(16, 32, stride=2)
    bad = [name for name, item in made.named_parameters() if not item.isfinite().all()]
    expect(not bad, f"NaN or infinity in {', '.join(bad)}")
    with torch.device("meta"):
        away = block(16, 32, stride=2)
    stray = [name for name, item in away.state_dict().items() if item.device.type != "meta"]
    expect(not stray, f"made on the CPU although the device is another: {', '.join(stray)}")
    return "finite, on its device"


def rates(block: Any) -> str:
    """`dropout` and `drop_path`, where the block has them, act in training, not in evaluation, and refuse 1.5."""
    named = [name for name in RATES if name in inspect.signature(block).parameters]
    for name in named:
        made = block(16, 32, stride=2, **{name: 0.5})
        jitter(made)
        features = images(16)
        with torch.no_grad():
            acts = any(not torch.equal(made.train()(features), made(features)) for _ in range(JITTERS))
            expect(acts, f"{name}=0.5 changes nothing in training")
            expect(torch.equal(made.eval()(features), made(features)), f"{name} acts in evaluation")
        try:
            block(16, 32, stride=2, **{name: 1.5})
        except ValueError:
            continue
        raise Broken(f"{name}=1.5 is accepted")
    return ", ".join(named) or "it has none"


def _step(module: nn.Module, features: Tensor, *, seed: int) -> Tensor:
    """What it gives in training, as the engine seeds a step."""
    torch.manual_seed(seed)
    with torch.no_grad():
        found: Tensor = module.train()(features)
    return found


def _layout(module: nn.Module) -> dict[str, str]:
    return {name: f"{value.dtype} {tuple(value.shape)}" for name, value in module.state_dict().items()}


RULES = {
    "signature": Rule(
        wants="a class that the trunk can call",
        judge=signature,
        fix="class B(nn.Module) with `expansion: int` and __init__(self, in_channels, width, *, stride=1, ...), "
        "every further argument with a bool, int, float or str default",
    ),
    "shapes": Rule(
        wants="the promised shape, of finite numbers, for every width, stride and size",
        judge=shapes,
        fix="give (N, width * expansion, ceil(H / stride), ceil(W / stride)): pad 3x3 convolutions by 1, and let the "
        "shortcut follow stride and channels whenever either changes; divide by nothing that can be 0",
    ),
    "downsample": Rule(
        wants="the shortcut is the block's own, named `downsample`",
        judge=downsample,
        fix="call the shortcut self.downsample (nn.Identity() or None where the shape stays)",
    ),
    "gradients": Rule(
        wants="a gradient for every parameter",
        judge=gradients,
        fix="use the parameter in forward, without .detach(), .data or torch.no_grad(), or do not create it",
    ),
    "input": Rule(
        wants="a gradient for the input, which is left as it was",
        judge=input_gradient,
        fix="do not detach the input; no in-place operation (inplace=True, +=) on the tensor that came in",
    ),
    "determinism": Rule(
        wants="evaluation draws and learns nothing",
        judge=determinism,
        fix="guard everything random, and every update of a buffer, by `if self.training`; keep nothing of a call",
    ),
    "independence": Rule(
        wants="evaluation sees each image by itself",
        judge=independence,
        fix="use running statistics in evaluation; take no mean over the batch",
    ),
    "channels_last": Rule(
        wants="channels-last in, the same numbers channels-last out",
        judge=channels_last,
        fix="avoid .view, .contiguous and .reshape of the feature map; flatten only what was pooled",
    ),
    "bf16": Rule(
        wants="a finite step under bfloat16 autocast",
        judge=bf16,
        fix="keep exp, division and norms in float32; no constants like 1e-8 beside bfloat16 values",
    ),
    "state_dict": Rule(
        wants="keys and shapes that stay, and hold everything",
        judge=state_dict,
        fix="create all parameters in __init__; register_buffer for every tensor that is no parameter; draw with torch",
    ),
    "deepcopy": Rule(
        wants="copy.deepcopy gives an equal block that shares nothing",
        judge=deepcopy,
        fix="keep no computed tensors, closures or other modules' parameters as attributes",
    ),
    "initialisation": Rule(
        wants="finite parameters on the current device",
        judge=initialisation,
        fix="torch.empty needs an initialisation; make tensors in __init__ without a fixed device",
    ),
    "rates": Rule(
        wants="dropout and drop_path act in training only",
        judge=rates,
        fix="use nn.Dropout(dropout) and torchvision.ops.StochasticDepth(drop_path, 'row'), or leave the name out",
    ),
}
