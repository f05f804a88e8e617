"""The rules of an arch. Nets are built on the meta device, where even a ResNet-1202 takes no memory."""

import dataclasses

import torch

from resnetctl import registry
from resnetctl.models.resnet import build, count_params, minimum_size
from resnetctl.spec import Arch, ImageSpec
from resnetctl.testing.findings import Rule, expect

DEEP = 2  # blocks a stage at most in the forward pass: from the second on, all are alike


def data(arch: Arch) -> str:
    """The entry is an `Arch`, and its JSON form reads back equal."""
    expect(isinstance(arch, Arch), f"it is a {type(arch).__name__}")
    odd = [name for name, value in arch.block_args.items() if not isinstance(value, bool | int | float | str)]
    expect(not odd, f"block_args {', '.join(odd)} is not a bool, int, float or str")
    expect(Arch.from_json(arch.to_json()) == arch, "its JSON form reads back as another arch")
    return f"depths {arch.depths}, widths {arch.widths}"


def names(arch: Arch) -> str:
    """The name can be typed, and there is a summary for lists."""
    expect(registry.NAME.fullmatch(arch.name) is not None, f"the name is {arch.name!r}")
    expect(bool(arch.summary.strip()), "the summary is empty")
    return arch.name


def block(arch: Arch) -> str:
    """The block is registered, and its name does not clash."""
    registry.get("block", arch.block)
    return arch.block


def builds(arch: Arch) -> str:
    """The net maps images of the reference size to logits, with the arch's own `block_args`."""
    classes, size = arch.reference
    image = ImageSpec(size=max(size, minimum_size(arch.resolve_stem(size))))
    shallow = dataclasses.replace(arch, depths=tuple(min(depth, DEEP) for depth in arch.depths))
    with torch.device("meta"):
        net = build(shallow, classes=classes, image=image).eval()
        shape = tuple(net(torch.empty(2, 3, image.size, image.size)).shape)
    expect(shape == (2, classes), f"2 images of {image.size} px give {shape}, not {(2, classes)}")
    return f"{classes} classes at {image.size} px"


def params(arch: Arch) -> str:
    """The net has as many parameters as the arch declares."""
    counted = count_params(arch)
    declared = arch.params
    expect(declared in (None, counted), f"{counted:,} counted, {declared or 0:,} declared")
    return f"{counted:,}" + ("" if declared else " (none declared)")


RULES = {
    "data": Rule(
        wants="a resnetctl.spec.Arch of plain values",
        judge=data,
        fix="name = Arch(name=..., block=..., depths=(...), widths=(...)), block_args of bool, int, float or str",
    ),
    "names": Rule(
        wants="a name that can be typed, and a summary for lists",
        judge=names,
        fix="use letters, digits, _ . + - in the name; write one line in summary",
    ),
    "block": Rule(
        wants="a registered block",
        judge=block,
        fix='register the block in [project.entry-points."resnetctl.blocks"] of the same distribution, then '
        "pip install it again; write dist:name if the name clashes",
    ),
    "builds": Rule(
        wants="a net that maps images to logits",
        judge=builds,
        fix="use arguments of the block (`plugins show` lists them); give depths and widths one number a stage",
    ),
    "params": Rule(
        wants="the declared number of parameters",
        judge=params,
        fix="correct the net or `params`, counted with 3 channels, and 10 classes at 32 px below four stages, else "
        "1,000 classes at 224 px",
    ),
}
