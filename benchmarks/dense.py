"""Train the heads of detection and segmentation by a plain loop over their nets, and measure them on test.

    python benchmarks/dense.py ssd bccd.tar.xz --seconds 200
    python benchmarks/dense.py unet camvid.tar.xz --arch resnet10_wd2 --seconds 130

One thread. `--seconds` counts CPU time of the training alone. The archives are those of two public data sets: BCCD (VOC
XML) and CamVid (PNG masks). Pictures are padded to a square. mAP is faster-coco-eval's. One JSON line at the end.
`dense_speed.py` times their steps beside those of torchvision.
"""

import argparse
import json
import math
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch
from machine import hardware, versions
from PIL import Image
from resnetctl_detect.heads import fasterrcnn, ssd
from resnetctl_segment.heads import deeplabv3, unet
from torch import Tensor, nn

import resnetctl as rc
from resnetctl.spec import Boxes, ImageSpec, Masks

HEADS = {head.name: head for head in (ssd, fasterrcnn, unet, deeplabv3)}
SIZES = {"ssd": 320, "fasterrcnn": 256, "unet": 256, "deeplabv3": 192}
BATCH = 4
IGNORE = 255


@dataclass(frozen=True)
class Split:
    """Pictures `(N, S, S, 3)` uint8, and for each its boxes and labels or its mask, in pixels of the net."""

    pictures: np.ndarray[Any, Any]
    truth: list[Any]
    classes: tuple[str, ...]


def main() -> None:
    """Train, measure on test, print one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("head", choices=SIZES)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--arch", default="resnet10_wd2")
    parser.add_argument("--seconds", type=float, default=200)
    parser.add_argument("--steps", type=int, default=0, help="stop after so many steps instead")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--decay", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--args", type=json.loads, default={}, help="arguments of the head, as JSON")
    parser.add_argument("--split", default="test")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    size = arguments.size or SIZES[arguments.head]
    read = read_voc if arguments.head in ("ssd", "fasterrcnn") else read_masks
    train, test = (read(arguments.archive, split, size) for split in ("train", arguments.split))
    image = ImageSpec(size=size)
    head: Any = HEADS[arguments.head]
    options = dict(arguments.args)
    if hasattr(head, "fit_anchors") and "anchors" not in options:
        boxes = np.concatenate([boxes for boxes, _ in train.truth])
        options |= head.fit_anchors(boxes, np.concatenate([labels for _, labels in train.truth]), image)
    net = head.build(rc.backbone(arguments.arch), classes=len(train.classes), image=image, **options)
    steps, seconds = fit(net, train, arguments, batch_size=arguments.batch)
    outputs = predict(net, test)
    measure = mean_precision if read is read_voc else mean_iou
    print(
        json.dumps(
            {
                "head": arguments.head,
                "arch": arguments.arch,
                "steps": steps,
                "cpu_seconds": round(seconds, 1),
                "seconds_per_step": round(seconds / steps, 3),
                **measure(outputs, test),
                "arguments": {**vars(arguments), "archive": arguments.archive.name},
                "hardware": hardware(),
                "versions": versions("torch", "torchvision"),
            }
        )
    )


def fit(net: nn.Module, train: Split, arguments: argparse.Namespace, *, batch_size: int) -> tuple[int, float]:
    """Train until the CPU seconds are spent; return the steps and the seconds. The rate is a cosine of the time."""
    decayed = [p for p in net.parameters() if p.dim() > 1]
    others = [p for p in net.parameters() if p.dim() <= 1]
    groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=arguments.lr, weight_decay=arguments.decay)
    net = net.train().to(memory_format=torch.channels_last)
    began, done, step = time.process_time(), 0.0, 0
    for images, truth in batches(train, batch_size, seed=arguments.seed):
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = arguments.lr * min(1.0, (step + 1) / 30) * (0.5 + 0.5 * math.cos(math.pi * done))
        losses = net.loss(images, truth)
        optimizer.zero_grad(set_to_none=True)
        sum(losses.values()).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimizer.step()
        step += 1
        spent = time.process_time() - began
        done = step / arguments.steps if arguments.steps else spent / arguments.seconds
        if step % 50 == 0:
            print(
                step,
                round(spent),
                {name: round(float(value.detach()), 3) for name, value in losses.items()},
                flush=True,
            )
    return step, time.process_time() - began


def batches(split: Split, size: int, *, seed: int) -> Iterator[tuple[Tensor, Any]]:
    """Yield normalised batches for ever, mirrored at random."""
    generator = np.random.default_rng(seed)
    while True:
        order = generator.permutation(len(split.pictures))
        for start in range(0, len(order) - size + 1, size):
            rows = order[start : start + size]
            flips = generator.random(size) < 0.5
            images = normalised(split.pictures[rows])
            images[flips] = images[flips].flip(3)
            yield (
                images.contiguous(memory_format=torch.channels_last),
                joined([split.truth[row] for row in rows], flips),
            )


def joined(truths: list[Any], flips: np.ndarray[Any, Any]) -> Any:
    """Return the truth of a batch, mirrored like its images."""
    chosen = torch.from_numpy(flips)
    if not isinstance(truths[0], tuple):
        masks = Masks(masks=torch.from_numpy(np.stack(truths)))
        return masks.flip(chosen, width=masks.masks.shape[2])
    counts = torch.tensor([0, *(len(boxes) for boxes, _ in truths)])
    boxes = Boxes(
        offsets=counts.cumsum(0),
        boxes=torch.from_numpy(np.concatenate([boxes for boxes, _ in truths])),
        labels=torch.from_numpy(np.concatenate([labels for _, labels in truths])),
    )
    return boxes.flip(chosen, width=WIDTH["size"])


WIDTH: dict[str, int] = {}


def normalised(pictures: np.ndarray[Any, Any]) -> Tensor:
    """Return uint8 pictures `(N, S, S, 3)` as float images `(N, 3, S, S)` around 0."""
    return (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25


def predict(net: nn.Module, split: Split) -> list[Any]:
    """Return what the net decodes for each picture, as arrays."""
    net.eval()
    results = []
    with torch.inference_mode():
        for start in range(0, len(split.pictures), 8):
            images = normalised(split.pictures[start : start + 8])
            decoded = [output.numpy() for output in net.decode(net(images))]
            results += list(zip(*decoded, strict=True))
    return results


def members(archive: Path) -> dict[str, bytes]:
    """Return the files of an archive by their path below its folder."""
    with tarfile.open(archive) as tar:
        return {
            member.name.partition("/")[2]: tar.extractfile(member).read()  # type: ignore[union-attr]
            for member in tar
            if member.isfile()
        }


def padded(picture: Image.Image, size: int, *, resample: Image.Resampling, fill: int) -> tuple[Any, float]:
    """Return the picture scaled into a square, at the left and the top, with its scale."""
    scale = size / max(picture.size)
    small = picture.resize((round(picture.width * scale), round(picture.height * scale)), resample)
    array = np.asarray(small)
    square = np.full((size, size, *array.shape[2:]), fill, np.uint8)
    square[: array.shape[0], : array.shape[1]] = array
    return square, scale


def read_voc(archive: Path, split: str, size: int) -> Split:
    """Read pictures and boxes of a VOC folder; boxes without area are left out."""
    files = members(archive)
    WIDTH["size"] = size
    names = files[f"ImageSets/Main/{split}.txt"].decode().split()
    classes = ("Platelets", "RBC", "WBC")
    pictures, truth = [], []
    for name in names:
        picture, scale = padded(
            Image.open(BytesIO(files[f"JPEGImages/{name}.jpg"])).convert("RGB"),
            size,
            resample=Image.Resampling.BILINEAR,
            fill=128,
        )
        rows, labels = [], []
        for item in ElementTree.fromstring(files[f"Annotations/{name}.xml"]).iter("object"):
            box = [float(item.findtext(f"bndbox/{side}", "0")) for side in ("xmin", "ymin", "xmax", "ymax")]
            if box[2] > box[0] and box[3] > box[1]:
                rows.append(box)
                labels.append(classes.index(item.findtext("name", "")))
        pictures.append(picture)
        truth.append((np.array(rows, np.float32).reshape(-1, 4) * np.float32(scale), np.array(labels, np.int64)))
    return Split(np.stack(pictures), truth, classes)


def read_masks(archive: Path, split: str, size: int) -> Split:
    """Read pictures and index masks; the class behind the last one is void."""
    files = members(archive)
    classes = tuple(files["classes.txt"].decode().split("\n"))
    pictures, truth = [], []
    for name in sorted(files):
        folder, _, stem = name.rpartition("/")
        if folder != f"images/{split}":
            continue
        picture, _ = padded(
            Image.open(BytesIO(files[name])).convert("RGB"), size, resample=Image.Resampling.BILINEAR, fill=128
        )
        mask = Image.open(BytesIO(files[f"masks/{split}/{Path(stem).stem}.png"]))
        array, _ = padded(mask, size, resample=Image.Resampling.NEAREST, fill=IGNORE)
        pictures.append(picture)
        truth.append(np.where(array >= 11, np.uint8(IGNORE), array))
    return Split(np.stack(pictures), truth, classes[:11])


def mean_precision(outputs: list[Any], split: Split) -> dict[str, Any]:
    """Return mAP at IoU .5 and .5 to .95, and the former of each class."""
    from faster_coco_eval import COCO, COCOeval_faster

    annotations, found = [], []
    for number, (boxes, labels) in enumerate(split.truth, start=1):
        for box, label in zip(boxes.tolist(), labels.tolist(), strict=True):
            row = {"image_id": number, "category_id": label, "bbox": _xywh(box), "iscrowd": 0}
            annotations.append({**row, "id": len(annotations) + 1, "area": row["bbox"][2] * row["bbox"][3]})
    for number, (boxes, scores, labels) in enumerate(outputs, start=1):
        for box, score, label in zip(boxes.tolist(), scores.tolist(), labels.tolist(), strict=True):
            if label >= 0:
                found.append({"image_id": number, "category_id": label, "bbox": _xywh(box), "score": score})
    truth = COCO(
        {
            "images": [{"id": number} for number in range(1, len(split.truth) + 1)],
            "annotations": annotations,
            "categories": [{"id": label, "name": name} for label, name in enumerate(split.classes)],
        }
    )
    judge = COCOeval_faster(truth, truth.loadRes(found), iouType="bbox", print_function=lambda *_: None)
    judge.run()
    precision = judge.eval["precision"][0, :, :, 0, -1]
    per_class = {name: round(float(precision[:, label].mean()), 3) for label, name in enumerate(split.classes)}
    return {"map50": round(float(judge.stats[1]), 4), "map": round(float(judge.stats[0]), 4), "per_class": per_class}


def _xywh(box: list[float]) -> list[float]:
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def mean_iou(outputs: list[Any], split: Split) -> dict[str, Any]:
    """Return the mean IoU over the classes, and the share of right pixels."""
    count = len(split.classes)
    confusion = np.zeros((count, count), np.int64)
    for (classes,), mask in zip(outputs, split.truth, strict=True):
        known = mask != IGNORE
        confusion += np.bincount(mask[known].astype(np.int64) * count + classes[known], minlength=count**2).reshape(
            count, count
        )
    right = np.diag(confusion)
    ious = right / np.maximum(1, confusion.sum(0) + confusion.sum(1) - right)
    per_class = {name: round(float(iou), 3) for name, iou in zip(split.classes, ious, strict=True)}
    return {
        "miou": round(float(ious.mean()), 4),
        "pixels": round(float(right.sum() / confusion.sum()), 4),
        "per_class": per_class,
    }


if __name__ == "__main__":
    main()
