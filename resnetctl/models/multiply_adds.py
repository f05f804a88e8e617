"""The arithmetic that a network costs, estimated from its arch. Imports no torch."""

from resnetctl.spec import Arch


def multiply_adds(arch: Arch, size: int) -> int:
    """Estimate the multiply-adds of one image, counting every block as two 3x3 convolutions."""
    side = size if arch.resolve_stem(size).stem == "cifar" else size // 4
    total = 0
    for stage, (depth, width) in enumerate(zip(arch.depths, arch.widths, strict=True)):
        area = (-(-side // 2**stage)) ** 2
        total += depth * 2 * 9 * width * width * area
    return total
