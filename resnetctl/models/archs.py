"""The archs that come with the package, as data. This module imports no torch.

`params` is the exact count that torchvision or pytorchcv (imgclsmob) publishes for the same network, or the count that
follows from the paper's definition (option A). It is None if only rounded counts are published (WRN-16-4, WRN-40-4),
or none at all.
"""

from resnetctl.spec import Arch

HE_2015 = "He et al. 2015, arXiv:1512.03385"
HE_2016 = "He et al. 2016, arXiv:1603.05027"
ZAGORUYKO_2016 = "Zagoruyko and Komodakis 2016, arXiv:1605.07146"


def _cifar(depth: int, params: int) -> Arch:
    """Return three stages of n basic blocks, `depth` = 6n + 2 (He et al. 2015, 4.2)."""
    return Arch(
        name=f"resnet{depth}",
        block="basic",
        depths=((depth - 2) // 6,) * 3,
        widths=(16, 32, 64),
        block_args={"shortcut": "A"},
        params=params,
        summary=f"{depth} layers for small images, shortcuts without parameters (option A)",
        paper=HE_2015,
    )


def _preact(depth: int, block: str, params: int) -> Arch:
    """Return three stages of n pre-activation blocks (He et al. 2016).

    `depth` = 6n + 2 with basic blocks, 9n + 2 with bottlenecks.
    """
    layers = 9 if block == "preact_bottleneck" else 6
    return Arch(
        name=f"preact_resnet{depth}",
        block=block,
        depths=((depth - 2) // layers,) * 3,
        widths=(16, 32, 64),
        stem_width=16,
        params=params,
        summary=f"{depth} layers for small images, norm and ReLU before each convolution",
        paper=HE_2016,
    )


def _wide(depth: int, factor: int, params: int | None) -> Arch:
    """Return three stages of n blocks, `depth` = 6n + 4, `factor` times as wide (Zagoruyko et al. 2016, table 1)."""
    return Arch(
        name=f"wrn{depth}_{factor}",
        block="preact_basic",
        depths=((depth - 4) // 6,) * 3,
        widths=(16 * factor, 32 * factor, 64 * factor),
        stem_width=16,
        params=params,
        summary=f"wide ResNet: {depth} layers, {factor} times the channels",
        paper=ZAGORUYKO_2016,
    )


def _imagenet(depth: int, block: str, depths: tuple[int, int, int, int], params: int) -> Arch:
    """Return four stages (He et al. 2015, table 1). `params` is torchvision's count."""
    return Arch(
        name=f"resnet{depth}",
        block=block,
        depths=depths,
        widths=(64, 128, 256, 512),
        params=params,
        summary=f"{depth} layers for photos, identical to torchvision's resnet{depth}",
        paper=HE_2015,
    )


def _narrow(depth: int, blocks: int, divisor: int, params: int | None) -> Arch:
    """Return four stages of `blocks` basic blocks, with 1/`divisor` of resnet18's channels, as pytorchcv has them."""
    return Arch(
        name=f"resnet{depth}_wd{divisor}" if divisor > 1 else f"resnet{depth}",
        block="basic",
        depths=(blocks,) * 4,
        widths=(64 // divisor, 128 // divisor, 256 // divisor, 512 // divisor),
        params=params,
        summary=f"{depth} layers in four stages" + f", 1/{divisor} of the channels" * (divisor > 1) + ": learns fast",
        paper=HE_2015,
    )


resnet20 = _cifar(20, 269_722)
resnet32 = _cifar(32, 464_154)
resnet44 = _cifar(44, 658_586)
resnet56 = _cifar(56, 853_018)
resnet110 = _cifar(110, 1_727_962)
resnet1202 = _cifar(1202, 19_421_274)

preact_resnet20 = _preact(20, "preact_basic", 272_282)
preact_resnet56 = _preact(56, "preact_basic", 855_578)
preact_resnet110 = _preact(110, "preact_basic", 1_730_522)
preact_resnet164 = _preact(164, "preact_bottleneck", 1_703_258)

wrn16_4 = _wide(16, 4, None)
wrn28_10 = _wide(28, 10, 36_479_194)
wrn40_4 = _wide(40, 4, None)

resnet10 = _narrow(10, 1, 1, 5_418_792)
resnet10_wd2 = _narrow(10, 1, 2, None)
resnet18_wd2 = _narrow(18, 2, 2, 3_055_880)

resnet18 = _imagenet(18, "basic", (2, 2, 2, 2), 11_689_512)
resnet34 = _imagenet(34, "basic", (3, 4, 6, 3), 21_797_672)
resnet50 = _imagenet(50, "bottleneck", (3, 4, 6, 3), 25_557_032)
resnet101 = _imagenet(101, "bottleneck", (3, 4, 23, 3), 44_549_160)
resnet152 = _imagenet(152, "bottleneck", (3, 8, 36, 3), 60_192_808)
