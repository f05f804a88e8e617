"""A judge runs a network once for each set of images."""

import dataclasses

import numpy as np
import pytest
import torch
from support.trained import card, make_run, make_store

from resnetctl.data.splits import open_eval_set
from resnetctl.data.store import Store
from resnetctl.system import settings
from resnetctl.tasks import judge as judging
from resnetctl.tasks.judge import evenly, open_judge
from resnetctl.tasks.targets import resolve
from resnetctl.trust.pictures.maps import normalised
from resnetctl.trust.strangers import NOISE


@pytest.fixture
def store() -> Store:
    return make_store()


def test_every_pass_is_stored_by_what_it_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(card(store))
    judge = open_judge(resolve(None, settings.load()), settings.load())
    images = open_eval_set(store, "test", val_split=None)
    first = [judge.evidence(store, images), judge.strangers(images), *(judge.noise(images, kind) for kind in NOISE)]
    assert len(list((run.path / "report").iterdir())) == 5
    monkeypatch.setattr(judging, "collect", None)
    again = [judge.evidence(store, images), judge.strangers(images), *(judge.noise(images, kind) for kind in NOISE)]
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.logits, other.logits)
    assert len({item.logits.tobytes() for item in first}) == 4  # strangers here are the test images themselves


def test_images_are_chosen_evenly(store: Store) -> None:
    images = open_eval_set(store, "train", val_split=None)
    assert evenly(images).index.tolist() == images.index.tolist()
    few = evenly(dataclasses.replace(images, index=images.index[:60]), 30)
    assert few.index.tolist() == images.index[:60:2].tolist()


def test_pixels_are_the_prepared_images_and_the_network_gives_the_logits(store: Store) -> None:
    make_run(card(store))
    judge = open_judge(resolve(None, settings.load()), settings.load())
    images = open_eval_set(store, "test", val_split=None)
    pixels = judge.pixels(images)
    assert pixels.shape == (len(images), 8, 8, 1)
    inputs = normalised(pixels, judge.card.image, device=torch.device("cpu"))
    with torch.no_grad():
        logits = judge.network()(inputs).numpy()
    assert np.allclose(logits, judge.evidence(store, images).logits, atol=1e-5)
