"""A backbone from an arch, a run or a weights file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING

import resnetctl.runs as runs
from resnetctl import registry
from resnetctl.config.calls import checked
from resnetctl.errors import InputError, UsageError
from resnetctl.hints import Call, Hint, Setting, closest
from resnetctl.spec import Arch, ImageSpec
from resnetctl.system import settings as machine
from resnetctl.system.plain_files import expanded, is_path
from resnetctl.system.settings import Settings
from resnetctl.tasks import targets
from resnetctl.tasks.sources import TORCHVISION
from resnetctl.weights.file import load_network, newest

if TYPE_CHECKING:
    from resnetctl.models.backbone import Backbone
    from resnetctl.models.resnet import ResNet


@checked()
def backbone(
    source: str | PathLike[str] | Arch | None,
    out: str | Sequence[str] | Mapping[str, str] | None = None,
    *,
    output_stride: int | None = None,
    channels: int | None = None,
) -> Backbone:
    """Return a `torch.nn.Module` from images to a dict of features, with `channels` and `reductions` by name.

    Args:
        source: an arch or its name, which starts fresh; or a run or a weights file. None: the newest run.
        out: "stem" and names of stages, `("layer1", ...)`; a mapping renames them. None: every stage.
        output_stride: the largest reduction, 8 or 16; `PluginError` when a block cannot be dilated exactly.
        channels: of the images, by default 3 or those of the weights.
    """
    from resnetctl.models.backbone import Backbone

    if channels is not None and channels < 1:
        raise UsageError(f"images have 1 channel or more, not {channels}", where=Setting("channels"))
    net = _fresh(source, channels or 3) if _is_arch(source) else _trained(source, machine.load(), channels)
    return Backbone(net, out, output_stride=output_stride)


def _is_arch(source: object) -> bool:
    return isinstance(source, Arch) or (isinstance(source, str) and source in registry.names("arch"))


def _fresh(source: object, channels: int) -> ResNet:
    from resnetctl.models.resnet import build

    arch = source if isinstance(source, Arch) else registry.get("arch", str(source))
    _, size = arch.reference
    image = ImageSpec(size=size, channels=channels, mean=(0.5,) * channels, std=(0.25,) * channels)
    return build(arch, classes=1, image=image)


def _trained(source: object, settings: Settings, channels: int | None) -> ResNet:
    from resnetctl.models.surgery import adapt_input

    try:
        target = targets.resolve(targets.text(source), settings)
    except InputError as error:
        raise _named(error, source, settings) from None
    if target.kind != "weights":
        raise UsageError(
            "an ONNX file gives no features", where=str(target.path), hint=Call("runs list", note="has runs to name")
        )
    net, _ = newest(target.header, load_network)
    if channels is not None:
        adapt_input(net, channels)
    return net


def _named(error: InputError, source: object, settings: Settings) -> InputError:
    """Return the error; one on a name that no run has is about archs, too."""
    if not isinstance(source, str) or is_path(source) or type(error) is not InputError:
        return error
    if expanded(source).exists() or (settings.runs_dir / source).exists():
        return error
    if source.startswith(TORCHVISION):
        tune = Call("finetune", (source,), {"data": "NAME"}, note="then name its run")
        return InputError(f"there is no arch and no run '{source}'", hint=[tune, "or take torchvision's own"])
    near = closest(source, [*registry.names("arch"), *(run.name for run in runs.all_runs(settings.runs_dir))])
    known = Call("plugins list", settings={"kind": "arch"}, note="has the archs of this installation")
    hints: list[Hint] = [*([near] if near else []), known, Call("runs list")]
    return InputError(f"there is no arch and no run '{source}'", hint=hints)
