"""The images that `eval` and `report` share. More is tested through `evaluate`."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.toy_dataset import Toy
from support.trained import card, make_run, make_store, network

from resnetctl.data.cards import store_names
from resnetctl.data.splits import open_eval_set
from resnetctl.data.store import Store
from resnetctl.errors import DataError, PluginError, UsageError
from resnetctl.facts import result_of
from resnetctl.hints import Call
from resnetctl.spec import Plugins
from resnetctl.system import settings
from resnetctl.tasks.evaluate import evaluate
from resnetctl.tasks.held_out import (
    Judged,
    class_order,
    dataset_to_get,
    relabelled_batches,
    require_split,
    split_notices,
    store_first,
    trained_on,
)
from resnetctl.tasks.report.report import report
from resnetctl.weights.file import to_bytes


def test_labels_follow_the_order_of_the_outputs() -> None:
    store = make_store(classes=("cow", "ape", "bee"))
    order = class_order(store.card.classes, ("ape", "bee", "cow"), name="zoo")
    images = open_eval_set(store, "test", val_split=None)
    labels = [label for _, labels in relabelled_batches(images, card(), order=order) for label in labels.tolist()]
    names = [("ape", "bee", "cow")[label] for label in labels]
    assert names == [store.card.classes[label] for label in images.labels.tolist()]


def test_only_splits_that_training_did_not_see_are_measured() -> None:
    require_split("val")
    with pytest.raises(UsageError, match="'train' is no split to measure"):
        require_split("train")


def test_weights_that_name_no_dataset_are_told_to_the_verb_that_asked() -> None:
    with pytest.raises(DataError) as caught:
        trained_on(card(), Path("w.safetensors"), verb="report")
    assert caught.value.hint == (Call("report", (Path("w.safetensors"),), {"data": "NAME"}),)


@pytest.mark.parametrize("verb", [evaluate, report])
def test_the_dataset_of_the_training_is_fetched_on_first_use(verb: Callable[..., Judged], toy: Toy) -> None:
    """A colleague with the weights alone: `train` and `finetune` fetched it, and `eval` asked for `data get`."""
    own = card(classes=toy.card.classes, image=toy.card.image, trained_on={"name": "toy"})
    Path("w.safetensors").write_bytes(to_bytes(network(classes=len(own.classes)).state_dict(), own))
    assert dataset_to_get("w.safetensors", settings.load()) == "toy"
    outcome = verb("w.safetensors", settings=settings.load())
    assert outcome.data == "toy"
    assert "'toy' is not in the store yet: getting it" in outcome.notices
    assert dataset_to_get("w.safetensors", settings.load()) is None
    assert verb("w.safetensors", settings=settings.load()).notices == outcome.notices[1:]


@pytest.mark.parametrize("data", [None, "toy"])
def test_nothing_is_fetched_for_a_network_whose_plugin_is_missing(toy: Toy, data: str | None) -> None:
    missing = card(trained_on={"name": "toy"}, plugins=Plugins(required={"absent-block": "1.2"}))
    Path("w.safetensors").write_bytes(to_bytes(network().state_dict(), missing))
    with pytest.raises(PluginError, match="need absent-block"):
        result_of(store_first("w.safetensors", settings.load(), data=data))
    assert not store_names(settings.load().data_dir)


def test_the_dataset_of_a_run_is_in_its_config(toy: Toy) -> None:
    run = make_run(card())
    run.config.write_text('data = "toy"\n')
    assert dataset_to_get("first", settings.load()) == "toy"
    run.config.write_text('data = "./photos"\n')
    assert dataset_to_get("first", settings.load()) is None


def test_a_dataset_that_nobody_offers_is_not_fetched() -> None:
    Path("w.safetensors").write_bytes(to_bytes(network().state_dict(), card(trained_on={"name": "mine"})))
    assert dataset_to_get("w.safetensors", settings.load()) is None
    assert dataset_to_get("none.safetensors", settings.load()) is None
    with pytest.raises(DataError, match="no dataset is called 'mine'"):
        evaluate("w.safetensors", settings=settings.load())


def test_a_test_split_counts_the_models_that_it_judged() -> None:
    store = make_store()
    run = make_run(card(store))
    first = evaluate(None, settings=settings.load())
    assert first.looks is not None
    assert (first.looks.models, first.looks.interval) == (1, first.report.interval)
    assert report(None, settings=settings.load()).looks == first.looks, "the same weights add nothing"
    run.save_weights(to_bytes(network(seed=4).state_dict(), card(store)))
    second = evaluate(None, settings=settings.load())
    assert second.looks is not None
    assert second.looks.models == 2
    assert second.looks.interval[0] < second.report.interval[0]
    assert second.to_json()["looks"] == {"models": 2, "interval": list(second.looks.interval)}


def test_both_models_of_a_comparison_are_judged() -> None:
    store = make_store()
    make_run(card(store))
    Path("other.safetensors").write_bytes(to_bytes(network(seed=4).state_dict(), card(store)))
    outcome = report(None, against="other.safetensors", settings=settings.load())
    assert outcome.looks is not None
    assert outcome.looks.models == 2
    assert outcome.to_json()["looks"]["models"] == 2


def test_val_has_no_ledger() -> None:
    make_run(card(make_store()))
    assert evaluate(None, settings=settings.load(), split="val").looks is None
    assert not (settings.load().data_dir / "looks").exists()


def test_a_ledger_that_cannot_be_written_is_a_notice() -> None:
    make_run(card(make_store()))
    (settings.load().data_dir / "looks").write_text("in the way")
    outcome = evaluate(None, settings=settings.load())
    assert outcome.looks is None
    assert "this look at test was not recorded" in "\n".join(outcome.notices)


def test_no_dataset_is_called_looks() -> None:
    with pytest.raises(UsageError, match="'looks' cannot name a dataset"):
        make_store(name="looks")


def told(store: Store, metrics: dict[str, float], *, trained_on: str = "zoo") -> list[str]:
    described = card(store, metrics=metrics, trained_on={"name": trained_on})
    return list(split_notices(store, described, requested="val", used="val"))


@pytest.mark.parametrize("key", ["val_top1", "val_map50"])
def test_weights_that_were_chosen_on_val_flatter_themselves_there_with_any_task(key: str) -> None:
    store, said = make_store(), "these weights were chosen on val, so their numbers on val are optimistic"
    assert said in told(store, {"epoch": 1.0, key: 0.5})
    assert said not in told(store, {"epoch": 1.0})
    assert said not in told(store, {"epoch": 1.0, key: 0.5}, trained_on="other"), "this val chose nothing"


@pytest.mark.parametrize(
    ("path", "target"),
    [(Path("runs/a/model.safetensors"), Path("runs/a/model.safetensors")), (Path("a.onnx"), "TARGET")],
)
def test_other_classes_name_the_network_to_fine_tune(path: Path, target: Path | str) -> None:
    with pytest.raises(DataError, match="the classes of the network and of 'zoo' differ") as caught:
        class_order(["a"], ["b"], name="zoo", path=path)
    assert caught.value.hint == (Call("finetune", (target,), {"data": "zoo"}),)
