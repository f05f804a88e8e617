"""`export` writes every head of this package as one checked file that needs no torch."""

from pathlib import Path

import numpy as np
import pytest
import torch

import resnetctl as rc
from resnetctl.deploy import onnx_session
from resnetctl.errors import UsageError
from resnetctl.models.dense import build_net, head_card
from resnetctl.spec import Arch, ImageSpec, WeightsCard
from resnetctl.weights.file import to_bytes

ARCH = Arch(name="tiny", block="basic", depths=(1, 1, 1), widths=(8, 8, 12), stem="imagenet")
IMAGE = ImageSpec(size=48)


def weights(folder: Path, name: str) -> Path:
    """Write the weights of an untrained network."""
    torch.manual_seed(0)
    head = head_card(name, {})
    net = build_net(ARCH, head, classes=3, image=IMAGE)
    card = WeightsCard(arch=ARCH, classes=("a", "b", "c"), image=IMAGE, head=head)
    path = folder / f"{name}.safetensors"
    path.write_bytes(to_bytes(net.state_dict(), card))
    return path


@pytest.mark.parametrize("name", ["unet", "deeplabv3"])
def test_the_file_passes_its_gate_and_runs(tmp_path: Path, name: str) -> None:
    report = rc.export(weights(tmp_path, name), gate="synthetic")
    assert report.parity is not None
    assert report.parity.agreement >= 0.999
    model = onnx_session.from_bytes(report.path.read_bytes(), str(report.path))
    (classes,) = model.answer(np.zeros((3, 48, 48, 3), np.uint8))
    assert classes.shape == (3, 48, 48)
    assert set(np.unique(classes)) <= {0, 1, 2}


def test_other_forms_are_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the head 'unet' is exported as an ONNX file of floats only"):
        rc.export(weights(tmp_path, "unet"), gate="synthetic", input="raw")
    assert [path.name for path in tmp_path.iterdir()] == ["unet.safetensors"]
