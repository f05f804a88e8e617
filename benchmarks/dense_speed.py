"""Time training steps of our detectors and segmenters beside those of torchvision and segmentation_models_pytorch.

    python benchmarks/dense_speed.py [ssd fasterrcnn deeplabv3 unet] [--rounds 9]

Both sides have a trunk of the same arch, the same pyramid, anchors and heads, and get the same batch. They take steps
in turns, in one process with one thread. A ratio is the median of ours over the median of theirs, in CPU seconds: below
1 ours is faster. One JSON line a head.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from machine import hardware, versions
from resnetctl_detect.heads import fasterrcnn, ssd
from resnetctl_segment.heads import deeplabv3, unet
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet18, resnet50
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.ssd import SSD, SSDHead
from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3
from torchvision.ops import MultiScaleRoIAlign

import resnetctl as rc
from resnetctl.spec import Boxes, ImageSpec, Masks

Step = Callable[[], Tensor]
CLASSES = 3
WIDTH = 64


def main() -> None:
    """Time the heads one after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("heads", nargs="*", default=[*PAIRS])
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.heads:
        torch.manual_seed(0)
        ours, theirs = PAIRS[name]()
        seconds: tuple[list[float], list[float]] = ([], [])
        for number in range(arguments.rounds + 1):
            for step, times in zip((ours, theirs), seconds, strict=True):
                spent = timed(step)
                if number:  # the first step of each side allocates
                    times.append(spent)
        medians = [statistics.median(times) for times in seconds]
        ratios = sorted(a / b for a, b in zip(*seconds, strict=True))
        print(
            json.dumps(
                {
                    "head": name,
                    "ratio": round(medians[0] / medians[1], 3),
                    "ours": round(medians[0], 3),
                    "theirs": round(medians[1], 3),
                    "of_pairs": [round(ratios[0], 3), round(ratios[-1], 3)],
                    "rounds": arguments.rounds,
                    "hardware": hardware(),
                    "versions": versions("torch", "torchvision", "segmentation-models-pytorch"),
                }
            ),
            flush=True,
        )


def timed(step: Step) -> float:
    """Return the CPU seconds of one step."""
    began = time.process_time()
    step()
    return time.process_time() - began


def trainer(net: nn.Module, loss: Step) -> Step:
    """Return a function that takes one step of SGD on `net`."""
    optimizer = torch.optim.SGD(net.train().parameters(), lr=1e-4, momentum=0.9)

    def step() -> Tensor:
        value = loss()
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        return value

    return step


def channels_last(net: nn.Module) -> nn.Module:
    """Return the net with the memory format that `train` uses."""
    return net.to(memory_format=torch.channels_last)


def scene(count: int, size: int) -> tuple[Tensor, Boxes, list[dict[str, Tensor]]]:
    """Return images with 14 boxes each, as ours and as torchvision's targets."""
    images = torch.rand(count, 3, size, size)
    corners = torch.rand(count * 14, 2) * (size - 64)
    boxes = torch.cat([corners, corners + 24 + 36 * torch.rand(count * 14, 2)], 1)
    truth = Boxes(offsets=torch.arange(count + 1) * 14, boxes=boxes, labels=torch.randint(0, CLASSES, (count * 14,)))
    return images, truth, [{"boxes": rows, "labels": labels + 1} for rows, labels in truth.split()]


def detector_pair(head: Any, size: int, count: int, *, stages: tuple[str, ...], make: Any) -> tuple[Step, Step]:
    """Return the steps of one of our detectors, and of torchvision's detector that `make` builds."""
    images, truth, targets = scene(count, size)
    anchors = [[side, side * form] for side in (16.0, 32.0, 48.0, 64.0) for form in (0.7, 1.0, 1.4)]
    ours: Any = channels_last(
        head.build(rc.backbone("resnet18"), classes=CLASSES, image=ImageSpec(size=size), anchors=anchors)
    )
    pyramid = BackboneWithFPN(
        resnet18(), {name: name for name in stages}, [64 * 2 ** (int(name[-1]) - 1) for name in stages], WIDTH
    )
    pyramid.fpn.extra_blocks = None  # ours has no pooled level
    theirs = channels_last(make(pyramid, ours))
    normal = ((images - 0.5) / 0.25).contiguous(memory_format=torch.channels_last)
    return (
        trainer(ours, lambda: sum(ours.loss(normal, truth).values())),  # type: ignore[arg-type, return-value]
        trainer(theirs, lambda: sum(theirs(list(images), targets).values())),
    )


def ssd_pair() -> tuple[Step, Step]:
    """Return the steps of both SSDs, at 320 px with 8 images."""

    def make(pyramid: nn.Module, ours: Any) -> nn.Module:
        head = SSDHead([WIDTH] * 3, ours.anchors.generator.counts, CLASSES + 1)
        return SSD(pyramid, ours.anchors.generator, (320, 320), CLASSES + 1, head=head)

    return detector_pair(ssd, 320, 8, stages=("layer2", "layer3", "layer4"), make=make)


def fasterrcnn_pair() -> tuple[Step, Step]:
    """Return the steps of both Faster R-CNNs, at 256 px with 4 images."""
    stages = ("layer1", "layer2", "layer3", "layer4")

    def make(pyramid: nn.Module, ours: Any) -> nn.Module:
        return FasterRCNN(
            pyramid,
            rpn_anchor_generator=ours.anchors.generator,
            box_roi_pool=MultiScaleRoIAlign(list(stages), 7, 2),
            box_head=TwoMLPHead(WIDTH * 49, 256),
            box_predictor=FastRCNNPredictor(256, CLASSES + 1),
            min_size=256,
            max_size=256,
            rpn_pre_nms_top_n_train=500,
            rpn_post_nms_top_n_train=300,
            rpn_batch_size_per_image=128,
            box_batch_size_per_image=128,
        )

    return detector_pair(fasterrcnn, 256, 4, stages=stages, make=make)


def masked(count: int, size: int, classes: int) -> tuple[Tensor, Masks]:
    """Return images and masks."""
    images = torch.randn(count, 3, size, size).contiguous(memory_format=torch.channels_last)
    return images, Masks(masks=torch.randint(0, classes, (count, size, size), dtype=torch.uint8))


def deeplabv3_pair() -> tuple[Step, Step]:
    """Return the steps of both DeepLabV3, resnet50 at output stride 16, 192 px, 4 images, cross-entropy only."""
    images, truth = masked(4, 192, 11)
    ours: Any = channels_last(
        deeplabv3.build(
            rc.backbone("resnet50"),
            classes=11,
            image=ImageSpec(size=192),
            dice=0.0,
            balance=0.0,
            dropout=0.5,
            width=256,
        )
    )
    trunk = resnet50(replace_stride_with_dilation=[False, False, True])
    backbone = IntermediateLayerGetter(trunk, {"layer4": "out"})
    theirs = channels_last(DeepLabV3(backbone, DeepLabHead(2048, 11, (6, 12, 18))))
    targets = truth.masks.long()
    return (
        trainer(ours, lambda: ours.loss(images, truth)["cross_entropy"]),
        trainer(theirs, lambda: F.cross_entropy(theirs(images)["out"], targets, ignore_index=255)),
    )


def unet_pair() -> tuple[Step, Step]:
    """Return the steps of both U-Nets, resnet18 at 256 px with 4 images, cross-entropy and Dice.

    torchvision has no U-Net; theirs is that of segmentation_models_pytorch with its default decoder.
    """
    import segmentation_models_pytorch as smp

    images, truth = masked(4, 256, 11)
    ours: Any = channels_last(unet.build(rc.backbone("resnet18"), classes=11, image=ImageSpec(size=256)))
    theirs = channels_last(smp.Unet("resnet18", encoder_weights=None, classes=11))
    dice, targets = smp.losses.DiceLoss("multiclass", ignore_index=255), truth.masks.long()

    def loss() -> Tensor:
        logits = theirs(images)
        value: Tensor = F.cross_entropy(logits, targets, ignore_index=255) + dice(logits, targets)
        return value

    return trainer(ours, lambda: sum(ours.loss(images, truth).values())), trainer(theirs, loss)  # type: ignore[arg-type, return-value]


PAIRS = {"ssd": ssd_pair, "fasterrcnn": fasterrcnn_pair, "deeplabv3": deeplabv3_pair, "unet": unet_pair}

if __name__ == "__main__":
    main()
