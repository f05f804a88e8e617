"""Images of another kind are told from those of the split; the split's own images are none."""

import pytest
from support.trained import card, make_run, make_store

from resnetctl.data.store import Store
from resnetctl.errors import DataError, UsageError
from resnetctl.system import settings
from resnetctl.tasks.export import export
from resnetctl.tasks.report import strange
from resnetctl.tasks.report.report import report

SPLITS = {"train": 150, "test": 60}  # val has 90 images: the card learns nothing from them


@pytest.fixture
def store() -> Store:
    return make_store(splits=SPLITS)


def test_strangers_are_told_from_test_images(store: Store) -> None:
    run = make_run(card(store))
    make_store(name="aliens", classes=("x", "y"), splits={"train": 20, "test": 25})
    outcome = report(None, ood=["aliens", "noise"], settings=settings.load())
    found = outcome.to_json()["ood"]
    assert [item["set"] for item in found[::3]] == ["aliens", "noise:gauss", "noise:blobs", "noise:tiles"]
    assert [item["score"] for item in found[:3]] == ["msp", "energy", "knn"]
    assert {item["n"] for item in found} == {50, 180}
    assert all(0 <= item["auroc"] <= 1 and item["positive"] == "strange" for item in found)
    assert "Strangers" in outcome._repr_html_()
    path = export(None, settings=settings.load(), gate="synthetic").path
    onnx = report(path, ood=["aliens"], settings=settings.load())
    assert [item.score for item in onnx.ood] == ["msp", "energy"]
    assert "an ONNX file gives no features" in "\n".join(onnx.notices)
    assert report(run.path, settings=settings.load(), quick=True).ood == ()


def test_the_score_of_the_card_stands_beside_the_others() -> None:
    """val would write it into the card; a card that has it is what counts."""
    store = make_store(splits={"train": 200, "test": 60})
    make_run(card(store))
    make_store(name="aliens", classes=("x", "y"), splits={"train": 20, "test": 25})
    outcome = report(None, ood=["aliens"], settings=settings.load(), calibrate="new.safetensors")
    assert [item.score for item in outcome.ood] == ["msp", "energy", "knn", "means"]
    assert "unlike anything in training" in outcome._repr_html_()
    again = report("new.safetensors", data="zoo", ood=["aliens"], settings=settings.load())
    assert again.ood[3] == outcome.ood[3]
    assert again.ood[3].flagged is not None
    assert [item.score for item in report(None, ood="aliens", split="val", settings=settings.load()).ood] == [
        "msp", "energy", "knn",
    ]  # fmt: skip


def test_without_a_name_datasets_of_another_kind_and_noise_are_strangers(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(card(store))
    make_store(name="aliens", classes=("x", "y"), splits={"train": 20, "test": 25})
    make_store(name="cousins", classes=(store.card.classes[0], "z"), splits={"train": 20, "test": 25})
    make_store(name="more", classes=("v", "w"), splits={"train": 20})
    make_store(name="tiny", classes=("r", "s"), splits={"train": 5})
    broken = make_store(name="broken", classes=("t", "u"), splits={"train": 20})
    broken.file("train").write_bytes(b"")
    noise = ["noise:gauss", "noise:blobs", "noise:tiles"]
    sets = dict.fromkeys(item.set for item in report(None, settings=settings.load()).ood)
    assert list(sets) == ["aliens", "more", *noise], "one shares a class, one is small, one cannot be read"
    monkeypatch.setattr(strange, "MOST", 1)
    monkeypatch.setattr(strange, "COUNT", 30)
    few = {item.set: item.n for item in report(None, settings=settings.load()).ood}
    assert list(few) == ["aliens", *noise]
    assert few["aliens"] == 30


def test_the_training_set_is_no_stranger(store: Store) -> None:
    make_run(card(store))
    with pytest.raises(UsageError, match="'zoo' has the images of 'zoo', so they are no strangers"):
        report(None, ood=["zoo"], settings=settings.load())
    with pytest.raises(DataError, match="no dataset is called 'nowhere'"):
        report(None, ood=["nowhere"], settings=settings.load())
