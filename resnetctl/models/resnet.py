"""The network that all archs share, with torchvision's module names: conv1 bn1 relu maxpool layer1.. avgpool fc."""

import contextlib
import dataclasses
import inspect
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from resnetctl import registry
from resnetctl.config import arguments
from resnetctl.errors import ConfigError, PluginError, ResnetctlError, own_line
from resnetctl.hints import Call, Setting, closest
from resnetctl.models.channels import Channels, narrow
from resnetctl.models.layers import conv3x3, make_activation, make_norm, restyle
from resnetctl.spec import Arch, ImageSpec, Scalar

RATES = ("dropout", "drop_path")  # set by model.dropout and model.drop_path, never by block_args
PLACE = ("stage", "index", "depth")  # where a block is, for blocks that name it
RESERVED = ("in_channels", "width", "stride", *RATES, *PLACE)


class ResNet(nn.Module):
    """A residual network as `arch` describes it; `build` creates it.

    Maps normalised float images `(N, C, H, W)` to logits `(N, classes)`: stem, stages, head. With pre-activation
    blocks the stem has no norm and no activation (`bn1` is an identity), and the last stage ends with `norm` and
    activation. With other blocks `norm` is an identity. `relu` is the arch's activation, which is ReLU by default.

    Attributes:
        arch: the arch, with its stem resolved.
        stages: names of the stages, `("layer1", ...)`.
        rates: `dropout` and `drop_path` of its blocks, if they are not 0.
        channels: shapes of the layers that are narrower than in the arch (`models.channels`).
    """

    foldable: ClassVar[dict[str, str]] = {"conv1": "bn1"}

    def __init__(self, arch: Arch, block: Any, *, classes: int, channels: int, rates: dict[str, float]) -> None:
        """Build from `block`, the class of `arch.block`; `rates` may hold its `dropout` and `drop_path`."""
        super().__init__()
        self.arch = arch
        self.stages = tuple(f"layer{number}" for number in range(1, len(arch.depths) + 1))
        self.preactivation = bool(getattr(block, "preactivation", False))
        self.rates = rates
        self.channels: Channels = {}
        width = arch.stem_width or arch.widths[0]
        if arch.stem == "imagenet":
            self.conv1 = nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False)
        else:
            self.conv1 = conv3x3(channels, width)
        self.bn1 = nn.Identity() if self.preactivation else make_norm(arch.norm or "batch", width)
        self.relu = make_activation(arch.activation or "relu")
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if arch.stem == "imagenet" else nn.Identity()
        for name, stage in zip(self.stages, _stages(arch, block, width, rates), strict=True):
            self.add_module(name, stage)
        width = arch.widths[-1] * block.expansion
        self.norm = make_norm(arch.norm or "batch", width) if self.preactivation else nn.Identity()
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(width, classes)
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits `(N, classes)` of normalised float images `(N, C, H, W)`."""
        outputs = self._stem(images)
        for name in self.stages:
            outputs = self._stage(name, outputs)
        return self.head(outputs)

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """Return the output of each stage, `{"layer1": (N, C1, H1, W1), ...}`; the head reads the last one.

        `models.features` computes the channels and sizes from the arch. With pre-activation blocks, norm and ReLU
        follow the last stage's features only; the others are raw sums.
        """
        features = {}
        outputs = self._stem(images)
        for name in self.stages:
            outputs = features[name] = self._stage(name, outputs)
        return features

    def from_stage(self, stage: str, features: Tensor) -> Tensor:
        """Return the logits `(N, classes)` that follow from the output of `stage`, as `features` gives it."""
        for name in self.stages[self.stages.index(stage) + 1 :]:
            features = self._stage(name, features)
        return self.head(features)

    def _stem(self, images: Tensor) -> Tensor:
        """Apply the first convolution. In imagenet stems it halves the image, and so does the pool."""
        outputs = self.conv1(images)
        if not self.preactivation:
            outputs = self.relu(self.bn1(outputs))
        return cast(Tensor, self.maxpool(outputs))

    def _stage(self, name: str, inputs: Tensor) -> Tensor:
        """Apply the blocks of one stage, which share one resolution and width."""
        outputs = self.get_submodule(name)(inputs)
        # a pre-activation block ends with a bare sum, and after the last one no block follows to norm it
        if self.preactivation and name == self.stages[-1]:
            outputs = self.relu(self.norm(outputs))
        return cast(Tensor, outputs)

    def head(self, features: Tensor) -> Tensor:
        """Return the logits of the last stage's features: average over all pixels, then the linear layer.

        `(N, C, H, W)` to `(N, classes)`.
        """
        return cast(Tensor, self.fc(torch.flatten(self.avgpool(features), 1)))

    def parts(self) -> dict[str, list[nn.Module]]:
        """Return the modules of `stem`, `layer1` .., `head`. Every parameter is in exactly one part.

        The final norm of a pre-activation net belongs to the last stage: the head is `fc` alone.
        """
        stages = {name: [self.get_submodule(name)] for name in self.stages}
        stages[self.stages[-1]].append(self.norm)
        return {"stem": [self.conv1, self.bn1], **stages, "head": [self.fc]}


def build(
    arch: Arch,
    *,
    classes: int,
    image: ImageSpec,
    dropout: float = 0.0,
    drop_path: float = 0.0,
    channels: Channels | None = None,
) -> ResNet:
    """Return a freshly initialised network on the current default device.

    Args:
        arch: `image.size` resolves `stem="auto"`; the network's `arch` has the resolved stem.
        classes: number of outputs, at least 1.
        image: its `size` and `channels` decide the shapes.
        dropout: probability of dropout inside blocks.
        drop_path: rate of stochastic depth at the last block; it rises linearly from block to block (Huang et al.
            2016, eq. 4).
        channels: shapes of the layers that are narrower than in the arch.

    Raises:
        ConfigError: the image is too small for the stages, the block lacks or refuses an argument, or `channels` does
            not fit.
        UsageError: no block has the name `arch.block`.
        PluginError: the block cannot be loaded, or its own code fails.
    """
    arch = arch.resolve_stem(image.size)
    _check_size(arch, image.size)
    if classes < 1:
        raise ConfigError(f"a network needs at least one class, not {classes}")
    block = registry.get("block", arch.block)
    rates = {name: rate for name, rate in (("dropout", dropout), ("drop_path", drop_path)) if rate}
    arch = _with_floats(arch, block)
    _check_arguments(arch, block, rates)
    try:
        net = ResNet(arch, block, classes=classes, channels=image.channels, rates=rates)
        narrow(net, channels or {})
        net.channels = dict(channels or {})
        return net
    except ResnetctlError:
        raise
    except ValueError as error:
        if changed := arguments.changed_arguments(arch.block_args, block):
            title, hint = f"block '{arch.block}'", _accepts(arch, block)
            raise arguments.refusal(title, error, changed=changed, key="model.block_args", hint=hint) from error
        line = own_line(error)
        place = f"block '{arch.block}'" + (f" at {line}" if line else "")
        raise ConfigError(str(error), where=place, hint=_accepts(arch, block)) from error
    except Exception as error:
        changed = arguments.changed_arguments(arch.block_args, block)
        values = f" with {arguments.in_words(changed)}" if changed else ""
        raise PluginError(
            f"block '{arch.block}' cannot be built{values}: {type(error).__name__}: {error}",
            where=own_line(error) or f"{block.__module__}:{block.__qualname__}",
            hint=arguments.argument_advice("block", changed) if changed else Call("plugins check", (arch.block,)),
            keys=[f"model.block_args.{name}" for name in changed],
        ) from error


def count_params(arch: Arch, classes: int | None = None, *, channels: int = 3) -> int:
    """Return the number of parameters, counted on the meta device, which takes no memory.

    `classes` None takes the classes of `Arch.reference`, as published counts do.
    """
    reference, size = arch.reference
    image = ImageSpec(size=size, channels=channels, mean=(0.0,) * channels, std=(1.0,) * channels)
    with torch.device("meta"):
        model = build(arch, classes=classes or reference, image=image)
    return sum(parameter.numel() for parameter in model.parameters())


def minimum_size(arch: Arch) -> int:
    """Return the smallest side in pixels at which every halving has an effect: the last one reads at least 2 px.

    `arch` must have a resolved stem. An imagenet stem halves twice, each stage after the first halves once.
    """
    halvings = len(arch.depths) - 1 + (2 if arch.stem == "imagenet" else 0)
    return 2 ** (halvings - 1) + 1 if halvings else 1


def _check_size(arch: Arch, size: int) -> None:
    minimum = minimum_size(arch)
    if size < minimum:
        hint = [Setting("size", minimum, note="or larger")]
        if arch.stem == "imagenet":
            hint.append(Setting("model.stem", "cifar", note="keeps the image's size before the first stage"))
        raise ConfigError(
            f"arch '{arch.name}' needs images of at least {minimum} px ({len(arch.depths)} stages, {arch.stem} stem), "
            f"not {size} px",
            hint=hint,
        )


def _check_arguments(arch: Arch, block: Any, rates: dict[str, float]) -> None:
    known, has_any = _parameters(block)
    problems: dict[str, str] = {}  # by config key
    signature = inspect.signature(block).parameters
    for name, value in arch.block_args.items():
        key = f"model.block_args.{name}"
        if name in RATES:
            problems[key] = f"'{name}' is set by model.{name}"
        elif name in PLACE and name in signature:
            problems[key] = f"'{name}' is set by the network: it says where the block is"
        elif name not in known and not (has_any and name not in RESERVED):
            near = closest(name, known)
            problems[key] = f"'{name}' is not an argument" + (f": {near}" if near else "")
        elif name in known and (
            problem := arguments.mistyped(name, value, default=arguments.default_of(signature[name]))
        ):
            problems[key] = problem
    for name, rate in rates.items():
        if name not in signature:
            problems[f"model.{name}"] = f"{name} {rate}: the block does not have it"
    for name, layers in (("activation", "activations"), ("norm", "norms")):
        if getattr(arch, name) and not getattr(block, layers, ()):
            problems[f"model.{name}"] = (
                f"{name} {getattr(arch, name)}: the block does not name its layers in '{layers}'"
            )
    if problems:
        raise ConfigError(
            f"block '{arch.block}' cannot be built with these arguments",
            problems=[*problems.values()],
            hint=_accepts(arch, block),
            keys=[*problems],
        )


def _parameters(block: Any) -> tuple[list[str], bool]:
    """Return the names that `block_args` may set, and whether the block takes any name (`**kwargs`)."""
    parameters = inspect.signature(block).parameters.values()
    has_any = any(item.kind is inspect.Parameter.VAR_KEYWORD for item in parameters)
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [item.name for item in parameters if item.kind in named and item.name not in RESERVED], has_any


def _accepts(arch: Arch, block: Any) -> str:
    known, _ = _parameters(block)
    return f"arguments of block '{arch.block}': {arguments.listed(block, known) or 'none'}"


def with_defaults(arch: Arch) -> Arch:
    """Return the arch with all arguments of a plugin's block, so that it stays the same when their defaults change.

    An int becomes a float where the block has one. The arguments of the core's blocks go with its version. A
    `dilation` of 1 belongs to heads for masks (`models.dilation`).
    """
    block = registry.get("block", arch.block)
    arch = _with_floats(arch, block)
    if not registry.distribution_of("block", arch.block):
        return arch
    parameters = inspect.signature(block).parameters
    values = {name: arguments.default_of(parameters[name]) for name in _parameters(block)[0]}
    if values.get("dilation") == 1:  # a head for masks may set it
        del values["dilation"]
    defaults = {name: value for name, value in values.items() if isinstance(value, bool | int | float | str)}
    return _published(dataclasses.replace(arch, block_args={**defaults, **arch.block_args}), defaults)


def _with_floats(arch: Arch, block: Any) -> Arch:
    """Return the arch with a float for each int in `block_args` whose parameter has one."""
    args = arguments.with_floats(arch.block_args, block)
    same = all(args[name] is value for name, value in arch.block_args.items())
    return arch if same else dataclasses.replace(arch, block_args=args)


def _published(arch: Arch, defaults: Mapping[str, Scalar]) -> Arch:
    """Return the arch with the number of parameters of the registered one if both are the same."""
    with contextlib.suppress(ResnetctlError):  # weights may name an arch that is not registered here
        known = registry.get("arch", arch.name)
        whole = dataclasses.replace(known, block_args={**defaults, **known.block_args}, stem=arch.stem)
        return whole if dataclasses.replace(whole, params=arch.params) == arch else arch
    return arch


def _stages(arch: Arch, block: Any, in_channels: int, rates: dict[str, float]) -> Iterator[nn.Sequential]:
    """Yield the stages, each a sequence of blocks."""
    index = 0
    for number, (depth, width) in enumerate(zip(arch.depths, arch.widths, strict=True)):
        blocks = []
        for position in range(depth):
            index += 1
            values = block_arguments(block, arch, rates=rates, index=index)
            # each stage but the first halves the image in its first block
            stride = 2 if number > 0 and position == 0 else 1
            unit = block(in_channels, width, stride=stride, **values)
            restyle(unit, activation=arch.activation, norm=arch.norm)
            blocks.append(unit)
            in_channels = width * block.expansion
        yield nn.Sequential(*blocks)


def block_arguments(block: Any, arch: Arch, *, rates: Mapping[str, float], index: int) -> dict[str, Any]:
    """Return the keyword arguments of block number `index`, counted from 1 through all stages, but its stride."""
    named = inspect.signature(block).parameters
    place = {name: value for name, value in place_of(index, arch.depths).items() if name in named}
    values: dict[str, Any] = {**arch.block_args, **rates, **place}
    # stochastic depth: later blocks are dropped more often, since all of them need the early features
    if "drop_path" in rates:
        values["drop_path"] = rates["drop_path"] * index / sum(arch.depths)
    return values


def place_of(index: int, depths: Sequence[int]) -> dict[str, int]:
    """Return the place of a block: its `stage` and its `index`, both counted from 1, and the `depth` in blocks."""
    stage = next(number for number, last in enumerate(accumulate(depths), start=1) if index <= last)
    return {"stage": stage, "index": index, "depth": sum(depths)}


def _initialise(model: ResNet) -> None:
    """Initialise convolutions as He et al. 2015 (arXiv:1502.01852), fan-out for ReLU.

    A block with its own `reset_parameters` initialises itself.
    """
    _he(model.conv1)
    for name in model.stages:
        for block in model.get_submodule(name).children():
            reset = getattr(block, "reset_parameters", None)
            if reset is not None:
                reset()
            else:
                block.apply(_he)


def _he(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d) and not module.weight.is_meta:  # on meta, torch would load all of torch.compile
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
