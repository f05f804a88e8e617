"""A map of channels that does not fit is one error, however wrong it is."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from support import heads
from support.trained import ARCH, CLASSES, IMAGE

from resnetctl.errors import ConfigError, WeightsError
from resnetctl.models.channels import narrow, require_fit, shape_of
from resnetctl.models.dense import with_head
from resnetctl.models.resnet import build
from resnetctl.spec import HeadCard, WeightsCard
from resnetctl.weights.file import load_model, load_net, read_header, to_bytes

WIDE = dataclasses.replace(ARCH, widths=(8, 16))
CUT = {"layer2.0.conv1": (8, 6, 1), "layer2.0.bn1": (6, 6, 1), "layer2.0.conv2": (6, 16, 1)}


def test_layers_take_the_shapes_of_the_map() -> None:
    net = build(WIDE, classes=3, image=IMAGE, channels=CUT).eval()
    assert {name: shape_of(net.get_submodule(name)) for name in CUT} == CUT
    assert net.get_submodule("layer2.0.bn1").running_var.shape == (6,)  # type: ignore[union-attr]
    require_fit(net, torch.zeros(1, 1, 8, 8))
    assert net.channels == CUT


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ({"layer9.conv1": (1, 1, 1)}, "no convolution or batch norm of this name"),
        ({"fc": (1, 1, 1)}, "no convolution or batch norm of this name"),
        ({"conv1": (1, 1)}, "is not within"),
        ({"conv1": (1, 0, 1)}, "is not within"),
        ({"conv1": (1, 9, 1)}, "is not within"),
        ({"layer2.0.conv2": (6, 16, 2)}, "is not within"),
        ({"bn1": (4, 6, 1)}, "are not the channels of such a layer"),
    ],
)
def test_a_map_that_does_not_fit_the_arch_is_refused(channels: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match="the channels do not fit the arch") as caught:
        narrow(build(WIDE, classes=3, image=IMAGE), channels)
    assert message in caught.value.problems[0]


def test_layers_that_do_not_fit_together_are_refused() -> None:
    net = build(WIDE, classes=3, image=IMAGE, channels={"layer2.0.conv1": (8, 6, 1)})
    with pytest.raises(ConfigError, match="do not fit together"):
        require_fit(net, torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize(
    "channels",
    [{"layer2.0.conv1": (8, 6, 1)}, {"layer2.0.conv1": (99, 99, 1)}, {"layer9": (1, 1, 1)}],
)
def test_a_weights_file_with_such_a_map_is_refused(channels: dict[str, Any], tmp_path: Path) -> None:
    narrowed = {name: shape for name, shape in channels.items() if shape == (8, 6, 1)}
    net = build(WIDE, classes=3, image=IMAGE, channels=narrowed)
    card = WeightsCard(arch=WIDE, classes=CLASSES, image=IMAGE, channels=channels)
    (path := tmp_path / "bad.safetensors").write_bytes(to_bytes(net.state_dict(), card))
    with pytest.raises((WeightsError, ConfigError), match="channels"):
        load_model(path)


def test_a_weights_file_of_a_network_with_a_head_and_such_a_map_is_refused(tmp_path: Path) -> None:
    channels, head = {"layer2.0.conv1": (8, 6, 1)}, HeadCard(name="tiny_seg", task="segment")
    with heads.registered():
        net = with_head(build(WIDE, classes=3, image=IMAGE), head, classes=3, image=IMAGE)
        card = WeightsCard(arch=WIDE, classes=CLASSES, image=IMAGE, channels=channels, head=head)
        (path := tmp_path / "bad.safetensors").write_bytes(to_bytes(net.state_dict(), card))
        with pytest.raises(WeightsError, match="do not fit together"):
            load_net(read_header(path))
