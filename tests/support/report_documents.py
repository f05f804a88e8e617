"""The JSON document of a report, made from imagined outputs, with names that would break a careless page."""

import dataclasses
from typing import Any

import numpy as np
from support.evidence import make_evidence

from resnetctl.fields import plain
from resnetctl.report.pictures import Gallery, thumbnail
from resnetctl.trust.assessment import accuracy, assess, compare_classes, compare_evidence

NAMES = ("<script>alert(1)</script>", "a \"quoted\" & 'named' class", "</style><b>", "plain")
EPOCHS = tuple(
    {
        "epoch": epoch,
        "lr": 0.1 / epoch,
        "train_loss": 2.0 / epoch,
        "train_top1": 1 - 0.5 / epoch,
        "val_loss": 2.1 / epoch,
    }
    for epoch in range(1, 6)
)
PICTURE = thumbnail(np.zeros((32, 32, 3), np.uint8))
GALLERY = Gallery(
    suspects=(PICTURE,),
    duplicates=((PICTURE, PICTURE),),
    corruptions={"fog": (PICTURE,) * 6},
    maps=((PICTURE, PICTURE),),
)
PROVENANCE = {"file": "runs/<i>/model", "dataset": "zoo"}


def make_document(*, val: bool = True, against: bool = True, **changes: Any) -> dict[str, Any]:
    """Return a document; `changes` replace keys."""
    measured, other = make_evidence(600), make_evidence(600, seed=3)
    other = dataclasses.replace(other, labels=measured.labels)
    document: dict[str, Any] = {
        "schema": "resnetctl.report/1",
        "target": "runs/one/<i>.weights",
        "weights": "ab" * 32,
        "data": "zoo",
        "split": "test",
        "count": 600,
        "looks": {"models": 3, "interval": [0.4, 0.6]},
        "accuracy": accuracy(measured.measured(NAMES)),
        **assess(measured, make_evidence(300, seed=1) if val else None).to_json(),
        "rankings": plain(measured.rankings(NAMES, temperature=1.0)),
        "suspects": [
            {
                "name": "<i>1.png",
                "label": NAMES[0],
                "predicted": NAMES[2],
                "own": 0.01,
                "probability": 0.95,
                "twin": None,
            }
        ],
        "duplicates": {
            "pairs": [{"test": "<i>1.png", "train": NAMES[2], "score": 0.97, "same_class": False}],
            "images": 1,
            "images_alike": True,
            "accuracy_without": 0.5,
        },
        "explain": {
            "method": "gradcam",
            "stage": "layer3",
            "images": [
                {
                    "name": "<i>2.png",
                    "label": NAMES[0],
                    "predicted": NAMES[1],
                    "probability": 0.9,
                    "insertion": 0.8,
                    "deletion": 0.1,
                    "random_head": 0.2,
                }
            ],
        },
        "notices": ["<b>a notice</b>"],
    }
    if against:
        classes = [item.to_json() for item in compare_classes(measured, other, classes=NAMES)]
        document["comparison"] = {
            "other": "b.onnx", **compare_evidence(measured, other).to_json(), "per_class": classes
        }  # fmt: skip
    return document | changes
