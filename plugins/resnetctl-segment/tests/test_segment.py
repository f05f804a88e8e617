"""Both heads learn, take any block, stem and size, export with any batch, and come back in a fresh process."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from resnetctl_segment.heads import deeplabv3, unet
from resnetctl_segment.nets import losses
from torch import Tensor, nn
from torchvision.models.segmentation.deeplabv3 import ASPP, DeepLabHead

import resnetctl as rc
from resnetctl import registry
from resnetctl.deploy import onnx_checks, onnx_head_operators, onnx_operators, onnx_proto
from resnetctl.deploy.onnx_writer import quiet
from resnetctl.errors import PluginError
from resnetctl.spec import Arch, ImageSpec

HEADS = [unet, deeplabv3]
BLOCKS = ["basic", "bottleneck", "preact_basic", "preact_bottleneck"]
OTHERS = [name for name in ("se_basic", "separable_basic", "resnetd_basic") if name in registry.names("block")]
IMAGE = ImageSpec(size=64)


torch.set_num_threads(1)


def arch(block: str = "basic", *, stages: int = 4, stem: str = "imagenet") -> Arch:
    return Arch(name="tiny", block=block, depths=(1,) * stages, widths=(8, 8, 12, 16)[:stages], stem=stem)


def build(head: Any, block: str = "basic", *, classes: int = 3, stages: int = 4, stem: str = "imagenet", **args: Any):
    torch.manual_seed(0)
    backbone = rc.backbone(arch(block, stages=stages, stem=stem))
    return head.build(backbone, classes=classes, image=IMAGE, **args)


def shapes(count: int, size: int = 64, *, seed: int = 0) -> tuple[Tensor, SimpleNamespace]:
    """Return noisy images with a bright square (class 1) and a dark one (class 2), and masks with a void border."""
    generator = np.random.default_rng(seed)
    images = generator.normal(0, 0.3, (count, 3, size, size)).astype(np.float32)
    masks = np.zeros((count, size, size), np.uint8)
    for number in range(count):
        for label, brightness in ((1, 2.0), (2, -2.0)):
            top, left = generator.integers(0, size // 2, 2)
            part = (slice(top, top + size // 3), slice(left, left + size // 3))
            images[number][:, *part] += brightness
            masks[number][part] = label
    masks[:, 0] = 255
    return torch.from_numpy(images), SimpleNamespace(masks=torch.from_numpy(masks))


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.name)
def test_it_learns_shapes(head: Any) -> None:
    net = build(head).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-3)
    images, truth = shapes(8)
    history = []
    for _ in range(25):
        loss = sum(net.loss(images, truth).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(float(loss.detach()))
    assert history[-1] < 0.5 * history[0]
    (classes,) = net.decode(net(images))
    known = truth.masks != 255
    assert (classes[known] == truth.masks[known]).float().mean() > 0.85


@pytest.mark.parametrize("block", [*BLOCKS, *OTHERS])
@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.name)
def test_it_takes_any_block_and_every_parameter_learns(head: Any, block: str) -> None:
    net = build(head, block).train()
    images, truth = shapes(2)
    sum(net.loss(images, truth).values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
@pytest.mark.parametrize("stages", [1, 2, 3, 4])
@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.name)
def test_it_takes_any_number_of_stages_and_any_size(head: Any, stages: int, stem: str) -> None:
    net = build(head, stages=stages, stem=stem).eval()
    with torch.inference_mode():
        for height, width in ((64, 64), (37, 61), (33, 90)):
            logits = net(torch.randn(2, 3, height, width))
            assert logits.shape == (2, 3, height, width)
            (classes,) = net.decode(logits)
            assert (classes.shape, classes.dtype) == ((2, height, width), torch.int64)


def test_the_padding_inside_changes_nothing_where_the_size_fits() -> None:
    net = build(unet).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        wanted = F.interpolate(net.scores(images), size=(64, 64), mode="bilinear")
        assert torch.equal(net(images), wanted)


def test_cross_entropy_is_torchs_over_the_pixels_that_count() -> None:
    logits, (_, truth) = torch.randn(4, 3, 64, 64), shapes(4)
    masks = truth.masks.long()
    known = masks != 255
    wanted = F.cross_entropy(logits.movedim(1, -1)[known], masks[known])
    torch.testing.assert_close(losses(logits, truth.masks)[0], wanted)


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_rare_classes_weigh_more_as_in_torchs_weighted_cross_entropy(balance: float) -> None:
    logits, (_, truth) = torch.randn(4, 3, 64, 64), shapes(4)
    masks = truth.masks.long()
    weights = masks[masks != 255].bincount() ** -balance
    wanted = F.cross_entropy(logits, masks, weight=weights, ignore_index=255)
    torch.testing.assert_close(losses(logits, truth.masks, balance=balance)[0], wanted)


def test_the_dice_loss_is_that_of_segmentation_models_pytorch() -> None:
    smp = pytest.importorskip("segmentation_models_pytorch", reason="segmentation-models-pytorch is not installed")
    logits, (_, truth) = torch.randn(4, 3, 64, 64), shapes(4)
    masks = truth.masks.long()
    theirs = smp.losses.DiceLoss(mode="multiclass", ignore_index=255)(logits, masks)
    torch.testing.assert_close(losses(logits, truth.masks)[1], theirs, atol=1e-6, rtol=1e-5)


def test_a_class_that_is_not_there_adds_nothing_to_the_dice_loss() -> None:
    masks = torch.zeros(1, 4, 4, dtype=torch.uint8)
    sure = torch.full((1, 3, 4, 4), -20.0)
    sure[:, 0] = 20.0
    assert float(losses(sure, masks)[1]) < 1e-6


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.name)
def test_masks_without_a_known_pixel_contribute_zero(head: Any) -> None:
    net = build(head).train()
    images, truth = shapes(2)
    truth.masks[:] = 255
    values = net.loss(images, truth)
    assert all(float(value.detach()) == 0 for value in values.values())
    sum(values.values()).backward()
    assert all(p.grad is None or not p.grad.any() for p in net.parameters())


def test_an_unknown_mask_among_others_changes_no_loss() -> None:
    logits, (_, truth) = torch.randn(4, 3, 64, 64), shapes(4)
    truth.masks[3] = 255
    torch.testing.assert_close(losses(logits, truth.masks), losses(logits[:3], truth.masks[:3]))


def test_without_dice_there_is_one_loss() -> None:
    assert list(build(unet, dice=0.0).loss(*shapes(2))) == ["cross_entropy"]
    assert list(build(unet).loss(*shapes(2))) == ["cross_entropy", "dice"]
    logits, masks = torch.randn(2, 3, 8, 8), torch.randint(0, 3, (2, 8, 8), dtype=torch.uint8)
    assert losses(logits, masks, with_dice=False) == (losses(logits, masks)[0], 0)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"width": 0}, "width"),
        ({"dice": -1.0}, "dice"),
        ({"balance": 2.0}, "balance"),
        ({"classes": 0}, "classes"),
    ],
)
def test_arguments_out_of_range_are_refused(args: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(unet, **args)


def test_the_pyramid_is_torchvisions() -> None:
    net = build(deeplabv3)
    assert isinstance(net.pyramid, ASPP)
    assert net.backbone.reductions == {"layer4": 16}
    assert [conv[0].dilation for conv in net.pyramid.convs[1:4]] == [(6, 6), (12, 12), (18, 18)]
    theirs = DeepLabHead(16, 3)
    wide = build(deeplabv3, width=256)
    parts = [*wide.pyramid.state_dict().values(), *wide.classifier.state_dict().values()]
    assert [value.shape for value in parts] == [value.shape for value in theirs.state_dict().values()]
    finer = build(deeplabv3, output_stride=8)
    assert finer.backbone.reductions == {"layer4": 8}
    assert finer.pyramid.convs[1][0].dilation == (12, 12)


@pytest.mark.skipif("se_basic" not in OTHERS, reason="resnetctl-attention is not installed")
def test_blocks_that_cannot_be_dilated_keep_their_stride_and_say_so() -> None:
    net = build(deeplabv3, "se_basic")
    assert net.backbone.reductions == {"layer4": 32}
    assert "block 'se_basic' cannot be dilated" in net.notices[0]
    assert "32 times smaller" in net.notices[0]
    with pytest.raises(PluginError, match="output stride 16"):
        build(deeplabv3, "se_basic", output_stride=16)
    assert build(deeplabv3).notices == ()


def test_a_batch_of_one_image_trains() -> None:
    net = build(deeplabv3).train()
    images, truth = shapes(1)
    sum(net.loss(images, truth).values()).backward()
    pooling = net.pyramid.convs[-1]
    assert not pooling.training
    net.loss(*shapes(2))
    assert pooling.training


def test_the_decoder_has_one_joint_between_two_sizes() -> None:
    net = build(unet, stem="cifar")  # reductions 1, 1, 2, 4, 8: stem and layer1 have one size
    assert list(net.backbone.channels) == ["layer1", "layer2", "layer3", "layer4"]
    assert len(net.joints) == 3
    assert next(iter(build(unet).backbone.channels)) == "stem"


def test_it_is_built_on_the_meta_device_with_the_same_keys() -> None:
    for head in HEADS:
        with torch.device("meta"):
            expected = build(head).state_dict()
        assert list(build(head).state_dict()) == list(expected)


class Exported(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return self.net.decode(self.net(images))


@pytest.mark.parametrize("block", ["preact_basic"])
@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.name)
def test_its_onnx_file_is_plain_and_gives_the_same_classes(head: Any, block: str) -> None:
    net = build(head, block, classes=5).eval()
    batch = ({0: torch.export.Dim("batch")},)
    with quiet():
        program = torch.onnx.export(
            Exported(net), (torch.zeros(2, 3, 50, 50),), dynamic_shapes=batch, dynamo=True, opset_version=20
        )
    proto = program.model_proto
    assert not proto.functions
    assert not {"If", "Loop", "Scan"} & Counter(node.op_type for node in proto.graph.node).keys()
    parsed = onnx_proto.parse(proto.SerializeToString())
    assert list(onnx_checks.dangers(parsed, known=onnx_head_operators.RULES)) == []
    name, output = proto.graph.input[0].name, proto.graph.output[0].name
    found = onnx_operators.infer(parsed.one("graph", None), {name: (2, 3, 50, 50)}, read=onnx_checks._numbers)
    assert found[output] == (2, 50, 50)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for count in (1, 2, 7):
        images = torch.randn(count, 3, 50, 50)
        with torch.inference_mode():
            logits = net(images)
        (classes,) = session.run(None, {name: images.numpy()})
        best = logits.topk(2, dim=1).values
        is_tie = (best[:, 0] - best[:, 1]).numpy() < 1e-4
        assert classes.shape == (count, 50, 50)
        assert ((classes == logits.argmax(1).numpy()) | is_tie).all()


PROBE = """
import json, sys, torch
from resnetctl import registry
import resnetctl as rc
from resnetctl.spec import Arch, ImageSpec
from importlib.metadata import entry_points
torch.set_num_threads(1)
arch = Arch.from_json(json.loads(sys.argv[1]))
for name in ("unet", "deeplabv3"):
    (entry,) = entry_points(group="resnetctl.heads", name=name)
    net = entry.load().build(rc.backbone(arch), classes=3, image=ImageSpec(size=64))
    net.load_state_dict(torch.load(f"{name}.pt", weights_only=True))
    images = torch.linspace(-1, 1, 2 * 3 * 64 * 64).view(2, 3, 64, 64)
    with torch.inference_mode():
        print(net.eval()(images).double().sum().item())
"""


def test_its_weights_give_the_same_logits_in_a_fresh_process(tmp_path: Path) -> None:
    block = OTHERS[0] if OTHERS else "bottleneck"
    wanted = []
    for head in HEADS:
        net = build(head, block).eval()
        torch.save(net.state_dict(), tmp_path / f"{head.name}.pt")
        with torch.inference_mode():
            wanted.append(net(torch.linspace(-1, 1, 2 * 3 * 64 * 64).view(2, 3, 64, 64)).double().sum().item())
    command = [sys.executable, "-c", PROBE, json.dumps(arch(block).to_json())]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert [float(line) for line in done.stdout.split()] == pytest.approx(wanted, rel=1e-6)


def test_the_losses_of_logits_in_bfloat16_are_those_of_the_same_numbers_in_float32() -> None:
    """Sums of thousands of pixels in bfloat16 would stop growing near 256."""
    torch.manual_seed(0)
    masks = torch.randint(0, 3, (2, 64, 64), dtype=torch.uint8)
    logits = (5 * F.one_hot(masks.long(), 3).permute(0, 3, 1, 2) + torch.randn(2, 3, 64, 64)).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = losses(logits, masks, balance=0.5)
    for one, other in zip(rough, losses(logits.float(), masks, balance=0.5), strict=True):
        assert one.item() == pytest.approx(other.item(), abs=1e-5)
    assert rough[1] < 0.1
