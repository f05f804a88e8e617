"""`report` names the images whose labels the network doubts."""

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


def test_the_page_escapes_and_lists_the_suspects() -> None:
    make_run(card(make_store(splits={"train": 200, "test": 60})))
    outcome = report(None, settings=settings.load(), quick=True)
    document = outcome.to_json()
    assert len(document["suspects"]) <= 100
    page = outcome._repr_html_()
    assert ("Suspect labels" in page) is bool(document["suspects"])
    for item in document["suspects"][:20]:
        assert item["name"] in page
