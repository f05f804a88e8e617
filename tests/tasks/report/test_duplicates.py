"""`report` says which images train has too, and what the accuracy is without them."""

import dataclasses

import numpy as np
from support.shots import saved_again, shots
from support.toy_dataset import done
from support.trained import card, make_run, make_store

from resnetctl.data.splits import open_eval_set
from resnetctl.data.store import Store, build, open_store
from resnetctl.spec import DatasetCard, ImageSpec
from resnetctl.system import settings
from resnetctl.tasks.report.duplicates import Duplicates, duplicates, pair_pictures, said
from resnetctl.tasks.report.report import report
from resnetctl.trust.evidence import Evidence


def make_shots() -> Store:
    """Store 60 images of train; the first two of test are among them, mirrored or saved again."""
    train = shots(60)
    test = np.concatenate([train[:1, :, ::-1], saved_again(train[1:2]), shots(40, seed=1)])
    draft = DatasetCard(name="shots", classes=("a", "b"), image=ImageSpec(size=32, channels=3), splits={})
    folder = settings.load().data_dir
    with build(folder, "shots", draft=draft) as builder:
        for split, pictures in (("train", train), ("test", test)):
            for row, image in enumerate(pictures):
                builder.add(split, image, label="ab"[row % 2], name=f"{split}{row}", sha256="")
    return open_store(folder, "shots")


def answers(store: Store, *, wrong: tuple[int, ...] = ()) -> Evidence:
    """Return evidence that is right on every test image but those in `wrong`."""
    labels = open_eval_set(store, "test", val_split=None).labels.astype(np.int64)
    logits = np.eye(2, dtype=np.float32)[labels]
    logits[list(wrong)] *= -1
    return Evidence(logits=logits, labels=labels)


def test_planted_twins_are_named_and_the_accuracy_without_them_is_given() -> None:
    store = make_shots()
    images = open_eval_set(store, "test", val_split=None)
    found = done(duplicates(store, images, measured=answers(store, wrong=(1, 5, 7))))
    assert {(pair.name, pair.train) for pair in found.pairs} == {("test0", "train0"), ("test1", "train1")}
    assert (found.images, found.accuracy_without) == (2, 38 / 40)
    assert found.to_json()["pairs"][0].keys() == {"test", "train", "score", "same_class"}
    assert list(said(found, "test")) == [
        "2 images of test may be in train too, a little changed; the accuracy without them is 95.00 %"
    ]
    assert len(pair_pictures(found, images, store=store)) == 2


def test_the_report_searches_unless_it_is_quick() -> None:
    make_run(card(make_store(splits={"train": 200, "test": 60})))
    full, quick = (report(None, settings=settings.load(), quick=is_quick) for is_quick in (False, True))
    assert set(full.to_json()) - set(quick.to_json()) == {"corruptions", "duplicates", "explain", "ood"}
    assert "Duplicates" in full._repr_html_()
    assert "Duplicates" not in quick._repr_html_()


def test_images_that_are_all_alike_are_said() -> None:
    found = Duplicates(pairs=(), images=0, is_alike=True, accuracy_without=0.5)
    assert list(said(found, "val")) == [
        "many images of val look like one of train at this size: only near-identical ones are listed"
    ]


def test_a_measured_split_that_train_has_whole_has_no_accuracy_without_it() -> None:
    store = make_shots()
    images = dataclasses.replace(open_eval_set(store, "test", val_split=None), index=np.arange(1))
    whole = answers(store)
    few = Evidence(logits=whole.logits[:1], labels=whole.labels[:1])
    found = done(duplicates(store, images, measured=few))
    assert (found.images, found.accuracy_without, found.is_alike) == (1, None, True)
    assert list(said(found, "test"))[-1] == "1 image of test may be in train too, a little changed"
