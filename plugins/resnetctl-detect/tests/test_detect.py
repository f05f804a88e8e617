"""Both heads learn, take any block, and decode in fixed shapes what torchvision's post-processing gives."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from resnetctl_detect.fixed_shapes import finished, image_numbers, suppressed
from resnetctl_detect.heads import fasterrcnn, ssd
from resnetctl_detect.nets import image_list
from torch import Tensor, nn
from torchvision.ops import batched_nms, box_iou

import resnetctl as rc
from resnetctl import registry
from resnetctl.deploy import onnx_checks, onnx_head_operators, onnx_operators, onnx_proto
from resnetctl.deploy.onnx_writer import quiet
from resnetctl.spec import Arch, Boxes, ImageSpec

torch.set_num_threads(1)
HEADS = [ssd, fasterrcnn]
BLOCKS = ["basic", "bottleneck", "preact_basic", "preact_bottleneck"]
OTHERS = [name for name in ("se_basic", "separable_basic", "resnetd_basic") if name in registry.names("block")]
SIZE = 64
ANCHORS = [[side, side * form] for side in (10.0, 16.0, 24.0, 36.0) for form in (0.7, 1.0, 1.4)]


def arch(block: str = "basic", *, stages: int = 4, stem: str = "imagenet") -> Arch:
    return Arch(name="tiny", block=block, depths=(1,) * stages, widths=(8, 8, 12, 16)[:stages], stem=stem)


def build(head: Any, block: str = "basic", *, classes: int = 2, stages: int = 4, stem: str = "imagenet", **args: Any):
    torch.manual_seed(0)
    backbone = rc.backbone(arch(block, stages=stages, stem=stem))
    args = {"anchors": ANCHORS, "width": 16} | args
    return head.build(backbone, classes=classes, image=ImageSpec(size=SIZE), **args)


def squares(count: int, *, seed: int = 0) -> tuple[Tensor, Boxes]:
    """Return noisy images with up to one bright square (class 0) and one dark one (class 1), and their boxes."""
    generator = np.random.default_rng(seed)
    images = generator.normal(0, 0.3, (count, 3, SIZE, SIZE)).astype(np.float32)
    rows, labels, counts = [], [], [0]
    for number in range(count):
        for label, brightness in ((0, 2.0), (1, -2.0)):
            if number % 4 == 3:  # an image without objects
                continue
            side = int(generator.integers(12, 28))
            left, top = generator.integers(0, SIZE - side, 2)
            images[number, :, top : top + side, left : left + side] += brightness
            rows.append([left, top, left + side, top + side])
            labels.append(label)
        counts.append(len(rows))
    boxes = torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)
    return torch.from_numpy(images), Boxes(offsets=torch.tensor(counts), boxes=boxes, labels=torch.tensor(labels))


def empty(count: int) -> Boxes:
    zeros = torch.zeros(count + 1, dtype=torch.int64)
    return Boxes(offsets=zeros, boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64))


@pytest.mark.parametrize("head", [ssd, pytest.param(fasterrcnn, marks=pytest.mark.certify)], ids=["ssd", "fasterrcnn"])
def test_it_learns_squares(head: Any) -> None:
    net = build(head).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-3)
    images, truth = squares(8)
    for _ in range(60):
        loss = sum(net.loss(images, truth).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        boxes, scores, labels = net.eval().decode(net(images))
    for number, (wanted, classes) in enumerate(truth.split()):
        for box, label in zip(wanted, classes, strict=True):
            is_right = (labels[number] == label) & (scores[number] > 0.3)
            assert box_iou(box[None], boxes[number][is_right]).max() > 0.5
    assert (scores[3] > 0.5).sum() == 0


@pytest.mark.parametrize("block", [*BLOCKS, *OTHERS])
@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.name)
def test_it_takes_any_block_and_every_parameter_learns(head: Any, block: str) -> None:
    net = build(head, block).train()
    losses = net.loss(*squares(4))
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    assert any(p.grad.any() for p in net.backbone.backbone.parameters())


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
@pytest.mark.parametrize("stages", [1, 2, 3, 4])
@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.name)
def test_it_takes_any_number_of_stages(head: Any, stages: int, stem: str) -> None:
    net = build(head, stages=stages, stem=stem).eval()
    with torch.inference_mode():
        boxes, scores, labels = net.decode(net(torch.randn(2, 3, SIZE, SIZE)))
    count = scores.shape[1]
    assert (boxes.shape, labels.shape) == ((2, count, 4), (2, count))
    assert (boxes.dtype, scores.dtype, labels.dtype) == (torch.float32, torch.float32, torch.int64)


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.name)
def test_images_without_objects_are_negatives(head: Any) -> None:
    net = build(head).train()
    losses = net.loss(torch.randn(2, 3, SIZE, SIZE), empty(2))
    assert all(value.isfinite() for value in losses.values())
    sum(losses.values()).backward()


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.name)
def test_evaluation_has_a_loss_and_leaves_the_mode(head: Any) -> None:
    net = build(head).eval()
    with torch.inference_mode():
        losses = net.loss(*squares(4))
    assert all(value.isfinite() for value in losses.values())
    assert not any(module.training for module in net.modules())


def as_set(boxes: Tensor, scores: Tensor, labels: Tensor) -> list[tuple[float, ...]]:
    rows = [(round(float(score), 4), int(label), *(round(float(side), 2) for side in box))
            for box, score, label in zip(boxes, scores, labels, strict=True)]  # fmt: skip
    return sorted(rows)


def trained(head: Any, **args: Any) -> Any:
    net = build(head, **args).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-3)
    images, truth = squares(8)
    for _ in range(8):  # a few steps: many boxes with many scores
        optimizer.zero_grad()
        sum(net.loss(images, truth).values()).backward()
        optimizer.step()
    return net.eval()


def test_ssd_decodes_what_torchvisions_post_processing_gives() -> None:
    net = trained(ssd)
    images, _ = squares(7, seed=1)
    with torch.inference_mode():
        raw = net(images)
        theirs = net.postprocess_detections(raw, [raw["anchors"]] * 7, [(SIZE, SIZE)] * 7)
        boxes, scores, labels = net.decode(raw)
    for number, wanted in enumerate(theirs):
        is_real = labels[number] >= 0
        assert len(wanted["scores"]) == is_real.sum() > 0
        ours = as_set(boxes[number][is_real], scores[number][is_real], labels[number][is_real] + 1)
        assert ours == as_set(wanted["boxes"], wanted["scores"], wanted["labels"])


def test_faster_rcnn_decodes_what_torchvisions_post_processing_gives() -> None:
    net = trained(fasterrcnn)
    images, _ = squares(7, seed=1)
    with torch.inference_mode():
        boxes, scores, labels = net.decode(net(images))
        listed, features = image_list(images), net.backbone(images)
        proposals, _ = net.rpn(listed, features)
        theirs, _ = net.roi_heads(features, proposals, listed.image_sizes)
    total = 0
    for number, wanted in enumerate(theirs):
        is_real = labels[number] >= 0
        ours = as_set(boxes[number][is_real], scores[number][is_real], labels[number][is_real] + 1)
        assert ours == as_set(wanted["boxes"], wanted["scores"], wanted["labels"])
        total += len(ours)
    assert total > 0


def test_detections_are_sorted_and_padded() -> None:
    net = trained(ssd, score_thresh=0.5)
    with torch.inference_mode():
        boxes, scores, labels = net.decode(net(squares(8)[0]))
    assert (scores[:, :-1] >= scores[:, 1:]).all()
    rest = scores == 0
    assert rest.any()
    assert (labels[rest] == -1).all()
    assert not boxes[rest].any()
    assert ((labels >= 0) == (scores > 0.5)).all()
    assert boxes.min() >= 0
    assert boxes.max() <= SIZE


@pytest.mark.parametrize("images", [1, 3])
def test_one_suppression_for_the_batch_equals_one_for_each_image(images: int) -> None:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(images, 60, 2, generator=generator) * 40
    boxes = torch.cat([corners, corners + 4 + 20 * torch.rand(images, 60, 2, generator=generator)], 2)
    scores = torch.rand(images, 60, generator=generator)
    labels = torch.randint(0, 3, (images, 60), generator=generator)
    kept = suppressed(boxes, scores, groups=labels, size=(64, 64), iou=0.4)
    for number in range(images):
        wanted = batched_nms(boxes[number], scores[number], labels[number], 0.4)
        assert set(wanted.tolist()) == set(torch.where(kept[number] >= 0)[0].tolist())
    assert torch.equal(image_numbers(scores)[:, 0], torch.arange(images).float())


def test_fewer_candidates_than_asked_for_are_all_returned() -> None:
    boxes = torch.tensor([[[0.0, 0, 5, 5], [20, 20, 30, 30]]])
    found, scores, labels = finished(
        boxes, torch.tensor([[0.3, 0.9]]), torch.tensor([[1, 0]]), size=(64, 64), iou=0.5, threshold=0.5, count=100
    )
    assert scores.tolist() == [[pytest.approx(0.9), 0.0]]
    assert labels.tolist() == [[0, -1]]
    assert found[0].tolist() == [[20, 20, 30, 30], [0, 0, 0, 0]]


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.name)
def test_images_of_another_size_get_anchors_of_their_own(head: Any) -> None:
    net = build(head).eval()
    with torch.inference_mode():
        net(torch.randn(1, 3, SIZE, SIZE))
        raw = net(torch.randn(1, 3, 96, 96))
        assert (raw["anchors"] if head is ssd else raw["proposals"]).shape[-1] == 4


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="4 anchors cannot be divided among 3 levels"):
        build(ssd, anchors=[[4.0, 4.0]] * 4)
    for head in HEADS:
        with pytest.raises(TypeError, match="nonsense"):
            build(head, nonsense=1)
        with pytest.raises(ValueError, match="nonsense"):
            head.build(rc.backbone(arch()), classes=2, image=ImageSpec(size=SIZE)).__class__(
                rc.backbone(arch()), classes=2, size=SIZE, nonsense=1
            )
        with pytest.raises(ValueError, match="classes 0"):
            build(head, classes=0)


def test_it_is_built_on_the_meta_device_with_the_same_keys() -> None:
    for head in HEADS:
        with torch.device("meta"):
            expected = build(head).state_dict()
        assert list(build(head).state_dict()) == list(expected)
        assert not any("anchors" in name for name in expected)


class Exported(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return self.net.decode(self.net(images))


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.name)
def test_its_onnx_file_is_plain_and_gives_the_same_detections(head: Any) -> None:
    net = trained(head, block=OTHERS[0] if OTHERS else "preact_basic")
    batch = ({0: torch.export.Dim("batch")},)
    with quiet():
        program = torch.onnx.export(
            Exported(net), (torch.zeros(2, 3, SIZE, SIZE),), dynamic_shapes=batch, dynamo=True, opset_version=20
        )
    proto = program.model_proto
    assert not proto.functions
    assert not {"If", "Loop", "Scan"} & Counter(node.op_type for node in proto.graph.node).keys()
    parsed = onnx_proto.parse(proto.SerializeToString())
    assert list(onnx_checks.dangers(parsed, known=onnx_head_operators.RULES)) == []
    name = proto.graph.input[0].name
    found = onnx_operators.infer(parsed.one("graph", None), {name: (2, 3, SIZE, SIZE)}, read=onnx_checks._numbers)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for count in (1, 2, 7):
        images, _ = squares(count, seed=2)
        with torch.inference_mode():
            wanted = net.decode(net(images))
        results = [torch.from_numpy(value) for value in session.run(None, {name: images.numpy()})]
        assert [value.shape[1:] for value in results] == [found[item.name][1:] for item in proto.graph.output]
        unmatched = total = 0
        for number in range(count):
            ours, theirs = ([value[number] for value in values] for values in (wanted, results))
            total += int((ours[2] >= 0).sum())
            unmatched += missing(ours, theirs) + missing(theirs, ours)
        assert total > 0
        assert unmatched <= 0.001 * total


def missing(first: list[Tensor], second: list[Tensor]) -> int:
    """Return how many detections have no partner: the same class, an IoU of .99, a score within .001."""
    count = 0
    for box, score, label in zip(*first, strict=True):
        if label >= 0:
            near = (second[2] == label) & ((second[1] - score).abs() <= 1e-3)
            count += not (box_iou(box[None], second[0][near]) >= 0.99).any()
    return count


PROBE = """
import json, sys, torch
import resnetctl as rc
from resnetctl.spec import Arch, ImageSpec
from importlib.metadata import entry_points
torch.set_num_threads(1)
arch, anchors = Arch.from_json(json.loads(sys.argv[1])), json.loads(sys.argv[2])
for name in ("ssd", "fasterrcnn"):
    (entry,) = entry_points(group="resnetctl.heads", name=name)
    net = entry.load().build(rc.backbone(arch), classes=2, image=ImageSpec(size=64), anchors=anchors, width=16)
    net.load_state_dict(torch.load(f"{name}.pt", weights_only=True))
    images = torch.linspace(-1, 1, 2 * 3 * 64 * 64).view(2, 3, 64, 64)
    with torch.inference_mode():
        print(net.eval().decode(net(images))[1].double().sum().item())
"""


def test_its_weights_give_the_same_scores_in_a_fresh_process(tmp_path: Path) -> None:
    block = OTHERS[0] if OTHERS else "bottleneck"
    wanted = []
    for head in HEADS:
        net = trained(head, block=block)
        torch.save(net.state_dict(), tmp_path / f"{head.name}.pt")
        with torch.inference_mode():
            images = torch.linspace(-1, 1, 2 * 3 * 64 * 64).view(2, 3, 64, 64)
            wanted.append(net.decode(net(images))[1].double().sum().item())
    command = [sys.executable, "-c", PROBE, json.dumps(arch(block).to_json()), json.dumps(ANCHORS)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert [float(line) for line in done.stdout.split()] == pytest.approx(wanted, rel=1e-5)
