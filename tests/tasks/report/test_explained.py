"""`report` shows what the network looked at in wrong and right images."""

import numpy as np
import pytest
from support.trained import CLASSES, card, make_run, make_store

from resnetctl.data.splits import ImageSet, open_eval_set
from resnetctl.data.store import Store
from resnetctl.report.pictures import data_url
from resnetctl.system import settings
from resnetctl.tasks.export import export
from resnetctl.tasks.judge import open_judge
from resnetctl.tasks.report.explained import EACH, explained
from resnetctl.tasks.report.report import report
from resnetctl.tasks.targets import resolve
from resnetctl.trust.evidence import Evidence


@pytest.fixture
def store() -> Store:
    return make_store(splits={"train": 200, "test": 60})


def planted(images: ImageSet, *, wrong: dict[int, float]) -> Evidence:
    """Return evidence that is wrong in the places of `wrong`, with these logits."""
    logits = np.eye(3, dtype=np.float32)[images.labels]
    for place, logit in wrong.items():
        logits[place] = 0
        logits[place, (images.labels[place] + 1) % 3] = logit
    return Evidence(logits=logits, labels=images.labels.astype(np.int64))


def test_the_surest_mistakes_come_first_then_right_images(store: Store) -> None:
    make_run(card(store))
    images = open_eval_set(store, "test", val_split=None)
    evidence = planted(images, wrong={4: 3.0, 9: 5.0, 11: 1.0})
    judge = open_judge(resolve(None, settings.load()), settings.load())
    maps = explained(judge, evidence, images=images, store=store, temperature=1.0)
    assert maps is not None
    label = CLASSES[images.labels[9]]
    assert (maps.images[0].name, maps.images[0].label) == (f"{label}3", label)
    assert [item.label == item.predicted for item in maps.images] == [False] * 3 + [True] * EACH
    assert maps.images[0].probability > maps.images[1].probability > maps.images[2].probability
    assert len(maps.pictures) == len(maps.images)
    document = maps.to_json()
    assert (document["method"], document["stage"]) == ("gradcam", "layer2")
    wanted = {"name", "label", "predicted", "probability", "insertion", "deletion", "random_head"}
    assert document["images"][0].keys() == wanted


def test_a_network_that_is_always_right_has_maps_of_right_images(store: Store) -> None:
    make_run(card(store))
    images = open_eval_set(store, "test", val_split=None)
    judge = open_judge(resolve(None, settings.load()), settings.load())
    maps = explained(judge, planted(images, wrong={}), images=images, store=store, temperature=1.0)
    assert maps is not None
    assert len(maps.images) == EACH


def test_the_page_has_the_pictures_and_an_onnx_file_has_no_maps(store: Store) -> None:
    make_run(card(store))
    outcome = report(None, settings=settings.load())
    page = outcome._repr_html_()
    assert outcome.maps is not None
    for pair in outcome.maps.pictures:
        assert all(data_url(data) in page for data in pair)
    for pictures in outcome.gallery.corruptions.values():
        assert len(set(pictures)) == len(pictures) == 6
    path = export(None, settings=settings.load()).path
    assert "explain" not in report(str(path), settings=settings.load()).to_json()
