"""`report` names the images whose labels the network doubts."""

import dataclasses

import numpy as np
from support.trained import CLASSES, card, make_run, make_store

from resnetctl.data.splits import open_eval_set
from resnetctl.report.pictures import thumbnail
from resnetctl.system import settings
from resnetctl.tasks.report.doubted import doubted
from resnetctl.tasks.report.report import report
from resnetctl.trust.evidence import Evidence


def test_a_flipped_label_is_named_as_in_the_source() -> None:
    store = make_store(splits={"train": 200, "test": 60})
    images = open_eval_set(store, "test", val_split=None)
    labels = images.labels.copy()
    logits = (np.eye(3)[labels] * 6 + np.random.default_rng(0).normal(size=(180, 3))).astype(np.float32)
    labels[17] = (labels[17] + 1) % 3
    evidence = Evidence(logits=logits, labels=labels)
    found, pictures = doubted(evidence, images, store=store, classes=CLASSES, temperature=1.0)
    assert (found[0].name, found[0].label) == (f"{CLASSES[17 % 3]}5", CLASSES[labels[17]])
    assert found[0].predicted == CLASSES[images.labels[17]]
    assert pictures[0] == thumbnail(images.images[17])


def test_an_image_under_two_labels_comes_first_with_its_twin() -> None:
    store = make_store(splits={"train": 200, "test": 60})
    images = open_eval_set(store, "test", val_split=None)
    pixels = np.array(images.images)
    pixels[10], pixels[33] = pixels[20], pixels[30]  # the second pair has one label
    images = dataclasses.replace(images, images=pixels, guard=None)
    labels = images.labels
    assert labels[10] != labels[20]
    assert labels[30] == labels[33]
    sure = Evidence(logits=(np.eye(3)[labels] * 6).astype(np.float32), labels=labels)
    found, pictures = doubted(sure, images, store=store, classes=CLASSES, temperature=1.0)
    names = [f"{CLASSES[row % 3]}{row // 3}" for row in (10, 20)]
    assert [(item.name, item.twin) for item in found] == [(names[0], names[1]), (names[1], names[0])]
    assert [(item.label, item.predicted) for item in found] == [
        (CLASSES[labels[10]], CLASSES[labels[20]]), (CLASSES[labels[20]], CLASSES[labels[10]]),
    ]  # fmt: skip
    assert pictures[0] == pictures[1]


def test_the_page_escapes_and_lists_the_suspects() -> None:
    make_run(card(make_store(splits={"train": 200, "test": 60})))
    outcome = report(None, settings=settings.load(), quick=True)
    document = outcome.to_json()
    assert len(document["suspects"]) <= 100
    page = outcome._repr_html_()
    assert ("Suspect labels" in page) is bool(document["suspects"])
    for item in document["suspects"][:20]:
        assert item["name"] in page
