"""Faults that were planted in a test split and in a network are named in the right section of the report."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.shots import shots
from support.trained import ARCH

from resnetctl import runs
from resnetctl.data.store import Store, build, open_store
from resnetctl.models.resnet import ResNet
from resnetctl.models.resnet import build as build_net
from resnetctl.spec import DatasetCard, ImageSpec, WeightsCard
from resnetctl.system import settings
from resnetctl.tasks.report.document import TrustReport
from resnetctl.tasks.report.report import report
from resnetctl.trust.pictures.maps import normalised
from resnetctl.weights.file import to_bytes

CLASSES = ("<script>alert(1)</script>", "green", 'blue"')
IMAGE = ImageSpec(size=32, channels=3, mean=(0.5,) * 3, std=(0.3,) * 3)
TRAIN, VAL, TEST = 240, 150, 300
COPIED, MIRRORED, FLIPPED = range(6), range(6, 12), (100, 155, 210, 222, 280)


def coloured(count: int, *, seed: int) -> np.ndarray:
    """Return images; the class of row N is N % 3 and decides which colour is strong."""
    images = shots(count, seed=seed).astype(np.int64) // 2
    for row in range(count):
        images[row, :, :, row % 3] += 40
    return images.astype(np.uint8)


@pytest.fixture(scope="module")
def net() -> ResNet:
    """A network that tells the colours apart, trained in a second; the last layer is three times too large."""
    torch.manual_seed(0)
    model = build_net(dataclasses.replace(ARCH, block_args={}), classes=3, image=IMAGE).train()
    pixels = normalised(coloured(TRAIN, seed=0), IMAGE, device=torch.device("cpu"))
    pixels = pixels.contiguous()  # torch 2.14 crashes in backward with channels-last images and 4 output channels
    labels = torch.arange(TRAIN) % 3
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(25):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(pixels), labels, label_smoothing=0.2).backward()
        optimizer.step()
    with torch.no_grad():
        model.fc.weight *= 3
        model.fc.bias *= 3
    return model.eval()


def plant(folder: Path) -> Store:
    """Store the images; test has copies of train, mirrored ones, and wrong labels; val has wrong labels."""
    train, val, test = (coloured(count, seed=seed) for seed, count in enumerate((TRAIN, VAL, TEST)))
    test[COPIED] = train[COPIED]
    test[MIRRORED] = train[MIRRORED, :, ::-1]
    draft = DatasetCard(name="planted", classes=CLASSES, image=IMAGE, splits={})
    with build(folder, "planted", draft=draft) as builder:
        for split, images in (("train", train), ("val", val), ("test", test)):
            for row, image in enumerate(images):
                is_flipped = row in FLIPPED if split == "test" else split == "val" and row % 15 == 0
                builder.add(split, image, label=CLASSES[(row + is_flipped) % 3], name=f"{split}/{row}", sha256="")
    return open_store(folder, "planted")


@pytest.fixture
def found(net: ResNet) -> TrustReport:
    store = plant(settings.load().data_dir)
    trained_on = {"name": "planted", "digest": store.card.digests["train"]}
    arch = dataclasses.replace(ARCH, block_args={})
    card = WeightsCard(arch=arch, classes=CLASSES, image=IMAGE, version="0.1.0", trained_on=trained_on)
    run = runs.create(settings.load().runs_dir, "planted", config="", sources={}, env={})
    run.save_weights(to_bytes(net.state_dict(), card))
    run.save_summary({"status": "finished"})
    return report(None, settings=settings.load(), corruption=["brightness"])


def test_every_planted_fault_is_in_its_section(found: TrustReport) -> None:
    document: dict[str, Any] = found.to_json()
    assert found.accuracy.top1 > 0.9, "the network learned, so its doubts mean something"
    assert document["calibration"]["temperature"] > 1.5, "the last layer is too large"
    assert document["calibration"]["nll"] < document["uncalibrated"]["nll"]
    first = {item["name"] for item in document["suspects"][: len(FLIPPED)]}
    assert len(first & {f"test/{row}" for row in FLIPPED}) >= 4
    pairs = {(pair["test"], pair["train"]) for pair in document["duplicates"]["pairs"]}
    assert {(f"test/{row}", f"train/{row}") for row in (*COPIED, *MIRRORED)} <= pairs
    assert document["duplicates"]["images"] == 12
    page = found._repr_html_()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page
    assert "12 images of test may be in train too" in page


def test_maps_and_pictures_are_those_of_the_named_images(found: TrustReport) -> None:
    assert found.maps is not None
    names = [item.name for item in found.maps.images]
    assert len({f"test/{row}" for row in FLIPPED} & set(names[:6])) >= 4, "the surest mistakes are the wrong labels"
    assert len(found.gallery.duplicates) == 12
    assert found.gallery.duplicates[0][0] == found.gallery.duplicates[0][1], "the first pair is an exact copy"
    assert len(found.gallery.suspects) == min(20, len(found.suspects))
    assert set(found.gallery.corruptions) == {"brightness"}
