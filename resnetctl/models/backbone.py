"""A network without its head: images to a dict of features, for the heads of detectors and segmenters.

It runs as it stands in torchvision's detectors and DeepLab, and in segmentation_models_pytorch (`Backbone.encoder`).
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from resnetctl.errors import UsageError
from resnetctl.hints import Setting, suggest
from resnetctl.models.dilation import dilated
from resnetctl.models.layers import make_norm
from resnetctl.models.trunk import STEM, blank, evaluating, expected_reduction, in_channels, walk, watching
from resnetctl.spec import Arch

Names = Sequence[str] | Mapping[str, str]
NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm)


class Backbone(nn.Module):
    """The stem and the stages of a network, under torchvision's names. It has the parts up to the last output only.

    Features of pre-activation nets are normed and activated. Those of the last stage are bit-equal to what the head
    sees. Those of an earlier stage go through `norms[stage]`: a copy of the norm that reads them in the next stage, or
    a fresh one when there is none.

    Attributes:
        arch: the arch, with its stem resolved.
        stages: the stages that it has, `("layer1", ...)`.
        channels: output name to its channels.
        reductions: output name to the factor by which the features are smaller than the images; an image with `size`
            pixels a side has features with `ceil(size / reduction)`. They are read from a forward pass.
        out_channels: the channels, if all outputs have the same number; otherwise there is no such attribute.
    """

    def __init__(self, trunk: Any, out: Names | None = None, *, output_stride: int | None = None) -> None:
        """Take over the modules of `trunk`.

        Args:
            trunk: a `ResNet`, or a `Backbone`.
            out: outputs among "stem" (before its pool) and the stages; a mapping renames them. None: every stage.
            output_stride: the largest reduction; later stages are dilated instead. The modules are then copies.

        Raises:
            UsageError: `out` has an unknown name, or none.
            ConfigError, PluginError: as `dilation.dilated`.
        """
        super().__init__()
        self._out = _renamed(out, trunk)
        if output_stride is not None:
            trunk = dilated(trunk, output_stride)
        self.arch: Arch = trunk.arch
        self.preactivation: bool = trunk.preactivation
        self.rates: dict[str, float] = trunk.rates
        last = max(trunk.stages.index(name) if name in trunk.stages else -1 for name in self._out)
        self.stages: tuple[str, ...] = trunk.stages[: last + 1]
        self.channels, self.reductions, norms = self._measure(trunk)
        self.conv1, self.bn1, self.relu, self.maxpool = trunk.conv1, trunk.bn1, trunk.relu, trunk.maxpool
        for name in self.stages:
            self.add_module(name, trunk.get_submodule(name))
        self.norm = trunk.norm if self.stages == trunk.stages else nn.Identity()
        self.norms = nn.ModuleDict(norms)
        if len(set(self.channels.values())) == 1:
            self.out_channels = next(iter(self.channels.values()))

    def __getattr__(self, name: str) -> Any:
        """Say what has the channels of several outputs, which have no `out_channels`."""
        if name == "out_channels" and "channels" in vars(self):
            raise AttributeError(f"the outputs have other numbers of channels each: `channels` is {self.channels}")
        return super().__getattr__(name)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the features of normalised float images `(N, C, H, W)`, by output name."""
        features = {}
        for name, outputs in walk(self, images):
            if name in self._out:
                features[self._out[name]] = self._ready(name, outputs)
        return features

    def select(self, out: Names | None = None, *, output_stride: int | None = None) -> "Backbone":
        """Return a backbone with other outputs and the same modules. Arguments and errors as the constructor's."""
        return Backbone(self, out, output_stride=output_stride)

    def encoder(self) -> "Encoder":
        """Return the backbone in the form of an encoder of segmentation_models_pytorch."""
        return Encoder(self)

    def _ready(self, name: str, outputs: Tensor) -> Tensor:
        """Return features as a head wants them: those of pre-activation blocks are raw sums until here."""
        if not self.preactivation:
            return outputs
        is_last = name not in self.norms
        normed: Tensor = self.relu(self.norm(outputs) if is_last else self.norms[name](outputs))
        return normed

    def _measure(self, trunk: Any) -> tuple[dict[str, int], dict[str, int], dict[str, nn.Module]]:
        """Return channels and reductions of the outputs, and the norms of those that lack one."""
        side = 4 * expected_reduction(trunk)
        channels, reductions, norms = {}, {}, {}
        readers: dict[str, tuple[Tensor, nn.Module]] = {}

        def watch(name: str, inputs: Tensor, _: object) -> None:
            if isinstance(module := trunk.get_submodule(name), NORMS):
                readers.setdefault(name.partition(".")[0], (inputs, module))

        with evaluating(trunk), watching(trunk, watch):
            outputs = dict(walk(trunk, blank(trunk, side)))
        order = [STEM, *trunk.stages]
        for name, key in self._out.items():
            channels[key], reductions[key] = outputs[name].shape[1], side // outputs[name].shape[2]
            follower = order[order.index(name) + 1] if name != order[-1] else ""
            if trunk.preactivation and (follower or name in getattr(trunk, "norms", ())):
                known = getattr(trunk, "norms", {})
                norms[name] = (
                    known[name]
                    if name in known
                    else _next_norm(readers.get(follower), channels[key], kind=trunk.arch.norm or "batch")
                )
        return channels, reductions, norms


class Encoder(nn.Module):
    """A backbone as segmentation_models_pytorch wants an encoder: images to a list, the images themselves first."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.out_channels = [in_channels(backbone), *backbone.channels.values()]
        self.output_stride = max(backbone.reductions.values())

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the images and the features, the largest first, for images `(N, C, H, W)`."""
        return [images, *self.backbone(images).values()]

    def set_in_channels(self, channels: int, pretrained: bool = True) -> None:
        """Check the channels that the decoder's owner asks for. Raises `ValueError` if the backbone has others."""
        if channels != self.out_channels[0]:
            raise ValueError(f"the backbone reads {self.out_channels[0]} channels, not {channels}")


def _renamed(out: Names | None, trunk: Any) -> dict[str, str]:
    """Return trunk name to output name, in the order of the network."""
    known = (STEM, *trunk.stages)
    wanted = {name: name for name in trunk.stages} if out is None else _as_mapping(out)
    for name in wanted:
        if name not in known:
            raise UsageError(f"the network has no features '{name}'", where=Setting("out"), hint=suggest(name, known))
    if not wanted or len(set(wanted.values())) < len(wanted):
        raise UsageError("a backbone needs outputs with different names", where=Setting("out", list(wanted.values())))
    return {name: wanted[name] for name in known if name in wanted}


def _as_mapping(out: Names) -> dict[str, str]:
    if isinstance(out, str):  # a lone name is a sequence of letters
        return {out: out}
    return dict(out) if isinstance(out, Mapping) else {name: name for name in out}


def _next_norm(reader: tuple[Tensor, nn.Module] | None, channels: int, *, kind: str) -> nn.Module:
    """Return a copy of the norm that reads `channels` channels first in the next stage, or a fresh one of the kind."""
    if reader is not None and reader[0].shape[1] == channels:
        return copy.deepcopy(reader[1])
    return make_norm(kind, channels)
