"""The spaces equal torchvision's, and 1,000 draws have the frequencies of the papers."""

import math
from collections import Counter

import pytest
import torch
from resnetctl_mix import spaces
from resnetctl_mix.apply import KERNELS
from torch import Tensor
from torchvision.transforms import v2

CPU = torch.device("cpu")
THEIRS = {
    "Identity": "identity", "ShearX": "shear_x", "ShearY": "shear_y", "TranslateX": "translate_x",
    "TranslateY": "translate_y", "Rotate": "rotate", "Brightness": "brightness", "Color": "saturation",
    "Contrast": "contrast", "Sharpness": "sharpness", "Posterize": "posterize", "Solarize": "solarize",
    "AutoContrast": "autocontrast", "Equalize": "equalize", "Invert": "invert",
}  # fmt: skip


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("size", [32, 33, 224])
@pytest.mark.parametrize(
    ("transform", "bins", "wide"),
    [(v2.RandAugment, 31, False), (v2.TrivialAugmentWide, 31, True), (v2.AutoAugment, 10, False)],
)
def test_magnitudes_equal_torchvisions(transform: type, bins: int, wide: bool, size: int) -> None:
    space = transform._AUGMENTATION_SPACE
    for name, (of, _) in space.items():
        expected = of(bins, size, size)
        ours = [spaces.magnitude(THEIRS[name], place, size=size, bins=bins, wide=wide) for place in range(bins)]
        assert ours == ([0.0] * bins if expected is None else [float(value) for value in expected]), name


def test_operations_equal_torchvisions() -> None:
    for transform in (v2.RandAugment, v2.TrivialAugmentWide):
        assert {THEIRS[name] for name in transform._AUGMENTATION_SPACE} == set(spaces.OPERATIONS)
    assert len(spaces.OPERATIONS) == 14


def test_cifar_plans_equal_torchvisions() -> None:
    theirs = v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)._policies
    ours = spaces.CIFAR_PLANS
    assert ours == tuple(tuple((THEIRS[name], chance, place or 0) for name, chance, place in plan) for plan in theirs)


def test_a_wide_shift_is_at_most_the_side_of_the_image() -> None:
    assert spaces.magnitude("translate_x", 30, size=8, wide=True) == 8
    assert spaces.magnitude("translate_x", 30, size=32, wide=True) == 32
    assert spaces.magnitude("translate_y", 30, size=224, wide=True) == 32


def test_plans_have_the_sizes_of_their_spaces() -> None:
    assert [len(plans(32)) for plans in ALL] == [14 * 14, 14 * 31, 25]


ALL = (spaces.randaugment_plans, spaces.trivialaugment_plans, spaces.autoaugment_cifar_plans)


def counted(kinds: Tensor) -> Counter[str]:
    names = list(KERNELS)
    return Counter(names[kind] for kind in kinds.tolist())


def near(count: int, share: float, of: int) -> bool:
    """Return whether a count is within four standard deviations of a binomial distribution."""
    return abs(count - of * share) <= 4 * math.sqrt(of * share * (1 - share)) + 1e-9


def test_randaugment_draws_two_independent_operations_equally_often() -> None:
    space = spaces.tabulate(spaces.randaugment_plans(32), 32, device=CPU)
    steps = space.draw(1000)
    assert len(steps) == 2
    for kinds, values in steps:
        counts = counted(kinds)
        for name in set(KERNELS) - {"affine", "invert"}:
            assert near(counts[name], 1 / 14, 1000), name
        assert near(counts["affine"], 5 / 14, 1000)
        assert counts["invert"] == 0
        factors = values[kinds == list(KERNELS).index("brightness"), 0]
        assert factors.unique().tolist() == pytest.approx([1 - 0.27, 1 + 0.27])
        assert near(int((factors > 1).sum()), 0.5, len(factors))
    pairs = Counter(zip(steps[0][0].tolist(), steps[1][0].tolist(), strict=True))
    assert near(pairs[1, 1], (5 / 14) ** 2, 1000)  # the two steps are independent


def test_trivialaugment_draws_all_magnitudes_equally_often() -> None:
    space = spaces.tabulate(spaces.trivialaugment_plans(32), 32, device=CPU)
    ((kinds, values),) = space.draw(1000)
    assert near(counted(kinds)["equalize"], 1 / 14, 1000)
    many, values = space.draw(40_000)[0]
    factors = values[many == list(KERNELS).index("contrast"), 0]
    assert len(factors.unique()) == 61  # 30 magnitudes up, 30 down, and none
    assert (float(factors.min()), float(factors.max())) == pytest.approx((0.01, 1.99))
    bits = Counter(values[many == list(KERNELS).index("posterize"), 0].tolist())
    assert set(bits) == {2, 3, 4, 5, 6, 7, 8}
    assert near(bits[5.0], 5 / 31, sum(bits.values()))
    thresholds = values[many == list(KERNELS).index("solarize"), 0]
    assert (float(thresholds.min()), float(thresholds.max())) == (0, 255)


def test_autoaugment_draws_operations_by_the_chances_of_its_plans() -> None:
    space = spaces.tabulate(spaces.autoaugment_cifar_plans(32), 32, device=CPU)
    steps = [counted(kinds) for kinds, _ in space.draw(1000)]
    for step, counts in enumerate(steps):
        for name in ("equalize", "autocontrast", "solarize", "saturation", "sharpness", "posterize", "invert"):
            share = sum(plan[step][1] for plan in spaces.CIFAR_PLANS if plan[step][0] == name) / 25
            assert near(counts[name], share, 1000), (step, name)
    # both steps of an image belong to one plan: 'contrast' as second step follows 'invert' or a skipped step
    first, second = (kinds for kinds, _ in space.draw(5000))
    names = list(KERNELS)
    before = {names[kind] for kind in first[second == names.index("contrast")].tolist()}
    assert before == {"identity", "invert"}


def test_signs_of_the_two_steps_are_independent() -> None:
    plan = (spaces.Step(operation="brightness", magnitude=0.5), spaces.Step(operation="contrast", magnitude=0.5))
    space = spaces.tabulate((plan,), 32, device=CPU)
    (_, first), (_, second) = space.draw(1000)
    same = int((first[:, 0] == second[:, 0]).sum())
    assert near(same, 0.5, 1000)


def test_settings_and_matrices_contain_the_magnitude() -> None:
    assert spaces.setting(spaces.Step(operation="solarize", magnitude=0.5), -1, size=8)[1][0] == 127.5
    assert spaces.setting(spaces.Step(operation="posterize", magnitude=4.0), -1, size=8)[1][0] == 4
    assert spaces.setting(spaces.Step(operation="saturation", magnitude=0.25), -1, size=8) == (
        "saturation",
        (0.75, 0.0, 0.0, 0.0, 0.0, 0.0),
    )
    assert spaces.matrix("translate_x", -2.9, size=8)[2] == 2  # cut off towards zero, as int() does
