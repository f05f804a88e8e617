"""A state dict that does not fit is one error with every mismatch; `test_file` and `test_foreign` have real files."""

from pathlib import Path

import pytest
import torch

from resnetctl.errors import WeightsError
from resnetctl.weights.checks import check_keys, require_finite

PATH = Path("net.safetensors")


def test_every_mismatch_is_listed() -> None:
    expected = {"a": torch.zeros(2, 3), "b": torch.zeros(()), "c": torch.zeros(1)}
    check_keys(expected, expected, path=PATH)
    with pytest.raises(WeightsError, match="3 keys do not match the arch") as caught:
        check_keys({"a": torch.zeros(3, 2), "c": torch.zeros(1), "d": torch.zeros(4)}, expected, path=PATH)
    assert caught.value.problems == ("missing: b scalar", "unexpected: d 4", "shape: a is 3x2, the arch needs 2x3")


def test_of_many_mismatches_the_first_of_each_kind_are_named() -> None:
    names = [f"layer{number}" for number in range(9)]
    with pytest.raises(WeightsError, match="10 keys do not match the arch") as caught:
        check_keys({"odd": torch.zeros(1)}, {name: torch.zeros(1) for name in names}, path=PATH)
    assert caught.value.problems == (
        *(f"missing: {name} 1" for name in names[:5]),
        "missing: 4 more",
        "unexpected: odd 1",
    )
    with pytest.raises(WeightsError) as caught:
        check_keys({"odd": torch.zeros(1)}, {name: torch.zeros(1) for name in names}, path=PATH, named=9)
    assert caught.value.problems == (*(f"missing: {name} 1" for name in names), "unexpected: odd 1")


def test_keys_of_repeated_blocks_share_a_line_that_still_names_each() -> None:
    depths = {1: 3, 2: 3, 3: 2}
    names = [f"layer{stage}.{block}.mix" for stage, depth in depths.items() for block in range(depth)]
    file = {f"x.layer1.{block}.%s": torch.zeros(4) for block in (0, 2)} | {"layer1.0.gate": torch.zeros(2)}
    expected = {name: torch.zeros(16 * int(name[5]), 2) for name in names} | {
        "layer1.0.gate": torch.zeros(3),
        "a": torch.zeros(1),
    }
    with pytest.raises(WeightsError, match="12 keys do not match the arch") as caught:
        check_keys(file, expected, path=PATH, named=None)
    assert caught.value.problems == (
        "missing: layer{1..2}.{0..2}.mix 16x2 to 32x2 (6 keys)",
        "missing: layer3.{0..1}.mix 48x2 (2 keys)",
        "missing: a 1",
        "unexpected: x.layer1.{0,2}.%s 4 (2 keys)",
        "shape: layer1.0.gate is 2, the arch needs 3",
    )
    long = {f"layer1.{'9' * 5000}.mix": torch.zeros(1), "layer1.01.mix": torch.zeros(1), "layer1.1.mix": torch.zeros(1)}
    with pytest.raises(WeightsError) as caught:
        check_keys(long, {}, path=PATH, named=None)
    assert len(caught.value.problems) == 3


def test_blocks_of_other_programs_share_a_line_too() -> None:
    names = [f"{name}.{block}.bn.bias" for name in ("stage1", "stage2", "blocks.0") for block in range(2)]
    with pytest.raises(WeightsError) as caught:
        check_keys({name: torch.zeros(4) for name in names}, {}, path=PATH, named=None)
    assert caught.value.problems == (
        "unexpected: blocks.0.{0..1}.bn.bias 4 (2 keys)",
        "unexpected: stage{1..2}.{0..1}.bn.bias 4 (4 keys)",
    )


def test_shapes_of_repeated_blocks_share_a_line() -> None:
    file = {f"layer{stage}.0.mix": torch.zeros(16 * stage, 3) for stage in (1, 2)}
    with pytest.raises(WeightsError) as caught:
        check_keys(file, {name: torch.zeros(len(tensor), 5) for name, tensor in file.items()}, path=PATH, named=None)
    assert caught.value.problems == ("shape: layer{1..2}.0.mix is 16x3 to 32x3, the arch needs 16x5 to 32x5 (2 keys)",)


def test_numbers_that_are_not_finite_are_named_with_their_tensor() -> None:
    require_finite({"a": torch.ones(2), "count": torch.tensor(3)}, PATH)
    with pytest.raises(WeightsError, match="1 tensor with NaN or infinity") as caught:
        require_finite({"a": torch.tensor([1.0, float("nan")]), "b": torch.ones(1)}, PATH)
    assert caught.value.problems == ("not finite: a",)
