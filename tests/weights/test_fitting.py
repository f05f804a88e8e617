"""The arguments of a block that fit a file."""

from pathlib import Path

import pytest
from support.distributions import install

from resnetctl import registry
from resnetctl.hints import Hint, Setting
from resnetctl.spec import Arch, ImageSpec
from resnetctl.weights.fitting import argument_hints, expected_state, shapes

BLOCK = """
from torch import nn
from resnetctl.blocks import BasicBlock

class Wide(BasicBlock):
    def __init__(self, *args, kernel=5, scale=1.0, even=False, **more):
        super().__init__(*args, **more)
        if kernel % 2 == 0:
            raise ValueError("kernel must be odd")
        self.mix = nn.Conv2d(int(8 * scale), 4, kernel, bias=even)
"""
IMAGE = ImageSpec(size=32)


@pytest.fixture(autouse=True)
def block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))
    install(site, "wide", {"block": {"wide": "wide_block:Wide"}}, code=BLOCK)
    registry.refresh()


def hints(arch: Arch, file: Arch) -> list[Hint]:
    """The hints for the weights of `file`, imported as `arch`."""
    state, expected = (expected_state(each, classes=3, image=IMAGE) for each in (file, arch))
    return argument_hints(arch, state, expected=expected, classes=3, image=IMAGE)


def wide(**block_args: float) -> Arch:
    return Arch(name="tiny", block="wide", depths=(1, 1), widths=(4, 8), block_args=block_args)


def test_the_argument_that_fits_the_file_is_named() -> None:
    assert hints(wide(), wide(kernel=3)) == [Setting("model.block_args.kernel", 3, note="fits the file")]
    assert hints(wide(kernel=3), wide(kernel=7)) == [Setting("model.block_args.kernel", 7, note="fits the file")]


def test_without_a_value_that_fits_all_arguments_are_named() -> None:
    first, *others = hints(wide(), wide(scale=2.0))
    assert first == Setting("model.block_args.kernel", "OTHER", note="an argument of the block; now 5")
    assert others[0] == Setting("model.block_args.scale", "OTHER", note="an argument of the block; now 1.0")


def test_other_keys_or_another_width_are_not_about_the_block() -> None:
    assert hints(wide(), wide(even=True)) == []  # the file has a key more
    assert hints(wide(), Arch(name="w", block="wide", depths=(1, 1), widths=(8, 16))) == []


def test_counters_are_no_shapes() -> None:
    state = expected_state(wide(), classes=3, image=IMAGE)
    assert "bn1.num_batches_tracked" in state
    assert shapes(state).keys() == {name for name in state if "num_batches" not in name}
