"""The search spaces of RandAugment, TrivialAugment and AutoAugment, as tables on the device.

A plan is the augmentation of one image: one or two steps, each with an operation, a magnitude and a probability. All
plans of a space are equally likely, and a fair coin chooses the sign of each step, so a whole batch needs one draw of
three small tensors. Ranges and bins are torchvision's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import product

import torch
from torch import Tensor

from resnetctl_mix.apply import KERNELS, PARAMETERS

BINS = 31  # magnitudes of RandAugment and TrivialAugment
CIFAR_BINS = 10  # magnitudes of AutoAugment
RAND_OPS, RAND_BIN = 2, 9  # Cubuk et al. 2019 (arXiv:1909.13719) for ImageNet, and torchvision's defaults
WIDE_SHIFT = 32  # pixels, Mueller and Hutter 2021, table 1
SHIFT_SHARE = 150 / 331  # share of the side: AutoAugment shifted images of 331 pixels by up to 150
# largest magnitude of each operation: in AutoAugment and RandAugment, and in TrivialAugment (wide)
TOPS = {
    "shear_x": (0.3, 0.99),
    "shear_y": (0.3, 0.99),
    "translate_x": (SHIFT_SHARE, WIDE_SHIFT),
    "translate_y": (SHIFT_SHARE, WIDE_SHIFT),
    "rotate": (30.0, 135.0),
    "brightness": (0.9, 0.99),
    "saturation": (0.9, 0.99),
    "contrast": (0.9, 0.99),
    "sharpness": (0.9, 0.99),
}
OPERATIONS = ("identity", *TOPS, "posterize", "solarize", "autocontrast", "equalize")
# Cubuk et al. 2018 (arXiv:1805.09501), table 7: operation, probability, bin of the magnitude
CIFAR_PLANS = (
    (("invert", 0.1, 0), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.5, 0), ("equalize", 0.9, 0)),
    (("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
    (("saturation", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 0), ("equalize", 0.5, 0)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("saturation", 0.7, 7), ("translate_x", 0.5, 8)),
    (("equalize", 0.3, 0), ("autocontrast", 0.4, 0)),
    (("translate_y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("saturation", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 0)),
    (("equalize", 0.2, 0), ("autocontrast", 0.6, 0)),
    (("equalize", 0.2, 0), ("equalize", 0.6, 0)),
    (("saturation", 0.9, 9), ("equalize", 0.6, 0)),
    (("autocontrast", 0.8, 0), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("saturation", 0.7, 0)),
    (("solarize", 0.4, 5), ("autocontrast", 0.9, 0)),
    (("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.9, 0), ("solarize", 0.8, 3)),
    (("equalize", 0.8, 0), ("invert", 0.1, 0)),
    (("translate_y", 0.7, 9), ("autocontrast", 0.9, 0)),
)


@dataclass(frozen=True, kw_only=True)
class Step:
    """An operation, its magnitude (without sign), and the chance that it is applied."""

    operation: str
    magnitude: float = 0.0
    chance: float = 1.0


Plan = tuple[Step, ...]


@dataclass(frozen=True, kw_only=True)
class Space:
    """Plans as tables, P plans of L steps: `kinds` `(P, L)`, `chances` `(P, L)`, `values` `(P, L, 2, PARAMETERS)`."""

    kinds: Tensor
    chances: Tensor
    values: Tensor

    def draw(self, count: int) -> list[tuple[Tensor, Tensor]]:
        """Draw plans for `count` images. Return for each step the `kinds` and `values` for `apply`."""
        plans, steps = self.kinds.shape
        device = self.kinds.device
        plan = torch.randint(plans, (count,), device=device)
        sign = torch.randint(2, (steps, count), device=device)
        skip = torch.rand(steps, count, device=device) >= self.chances[plan].T
        kinds = self.kinds[plan].T.masked_fill(skip, 0)
        return [(kinds[step], self.values[plan, step, sign[step]]) for step in range(steps)]


def randaugment_plans(size: int, *, strength: int = RAND_BIN) -> tuple[Plan, ...]:
    """Return every pair of the 14 operations, at one magnitude: `strength` of 30.

    Raises:
        ValueError: `strength` is not in 0..30.
    """
    if not 0 <= strength < BINS:
        raise ValueError(f"magnitude is {strength}, not in 0..{BINS - 1}")
    steps = [Step(operation=name, magnitude=magnitude(name, strength, size=size)) for name in OPERATIONS]
    return tuple(product(steps, repeat=RAND_OPS))


def trivialaugment_plans(size: int) -> tuple[Plan, ...]:
    """Return each of the 14 operations at each of 31 magnitudes."""
    pairs = product(OPERATIONS, range(BINS))
    return tuple(
        (Step(operation=name, magnitude=magnitude(name, place, size=size, wide=True)),) for name, place in pairs
    )


def autoaugment_cifar_plans(size: int) -> tuple[Plan, ...]:
    """Return the 25 sub-policies that AutoAugment found on CIFAR-10."""
    return tuple(
        tuple(
            Step(operation=name, chance=chance, magnitude=magnitude(name, place, size=size, bins=CIFAR_BINS))
            for name, chance, place in plan
        )
        for plan in CIFAR_PLANS
    )


def magnitude(operation: str, place: int, *, size: int, bins: int = BINS, wide: bool = False) -> float:
    """Return the magnitude in bin `place` of `bins`.

    It is a slope, pixels, degrees, a change of factor, bits, or a share of 255, as the operation needs. TrivialAugment
    shifts by up to 32 pixels; here by at most the side, because images may be smaller.
    """
    if operation == "posterize":
        return float(round(8 - place / ((bins - 1) / (6 if wide else 4))))
    if operation == "solarize":
        return _ticks(1.0, 0.0, bins)[place]
    if operation not in TOPS:
        return 0.0
    top = TOPS[operation][wide]
    if operation.startswith("translate"):
        top = min(top, size) if wide else top * size
    return _ticks(0.0, top, bins)[place]


@cache
def _ticks(first: float, last: float, bins: int) -> tuple[float, ...]:
    return tuple(torch.linspace(first, last, bins).tolist())  # float32, for the same whole pixels as torchvision


def tabulate(plans: tuple[Plan, ...], size: int, *, device: torch.device) -> Space:
    """Return the tables of plans for images of `size` pixels."""
    names = list(KERNELS)
    settings = [[[setting(step, sign, size=size) for sign in (1, -1)] for step in plan] for plan in plans]
    with torch.inference_mode(False):
        return Space(
            kinds=torch.tensor([[names.index(signed[0][0]) for signed in plan] for plan in settings], device=device),
            chances=torch.tensor([[step.chance for step in plan] for plan in plans], device=device),
            values=torch.tensor([[[row for _, row in signed] for signed in plan] for plan in settings], device=device),
        )


def setting(step: Step, sign: int, *, size: int) -> tuple[str, tuple[float, ...]]:
    """Return the kernel of a step and its parameters; `sign` counts only if the operation has two directions."""
    signed = sign * step.magnitude
    match step.operation:
        case "shear_x" | "shear_y" | "translate_x" | "translate_y" | "rotate":
            return "affine", matrix(step.operation, signed, size=size)
        case "brightness" | "saturation" | "contrast" | "sharpness":
            value = 1 + signed
        case "solarize":
            value = 255 * step.magnitude
        case _:
            value = step.magnitude
    return step.operation, (value, *(0.0,) * (PARAMETERS - 1))


def matrix(operation: str, amount: float, *, size: int) -> tuple[float, ...]:
    """Return the affine matrix from output to source, in pixels from the centre.

    Shears keep the top left corner, shifts are whole pixels.
    """
    corner = amount * size / 2
    match operation:
        case "shear_x":
            return (1.0, amount, corner, 0.0, 1.0, 0.0)
        case "shear_y":
            return (1.0, 0.0, 0.0, amount, 1.0, corner)
        case "translate_x":
            return (1.0, 0.0, -float(int(amount)), 0.0, 1.0, 0.0)
        case "translate_y":
            return (1.0, 0.0, 0.0, 0.0, 1.0, -float(int(amount)))
    cosine, sine = math.cos(math.radians(amount)), math.sin(math.radians(amount))
    return (cosine, -sine, 0.0, sine, cosine, 0.0)
