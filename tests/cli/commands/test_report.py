"""`report` prints what the task returns."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.trained import card, make_run, make_store, network

from resnetctl.cli.commands import report as command
from resnetctl.data.store import open_store
from resnetctl.runs import RunDir
from resnetctl.system import settings
from resnetctl.tasks.near import NearPair
from resnetctl.tasks.report.document import Against
from resnetctl.tasks.report.duplicates import Duplicates
from resnetctl.trust.compare import compare
from resnetctl.trust.strangers import Strangers
from resnetctl.weights.file import to_bytes

Cli = Callable[..., Any]


@pytest.fixture(autouse=True)
def run() -> None:
    make_run(card(make_store(splits={"train": 200, "test": 60})))


def test_the_tables_show_sets_and_abstaining(cli: Cli) -> None:
    result = cli("report")
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0] == "measured            runs/first/model.safetensors on zoo test"
    assert lines[1].startswith("accuracy            ")
    assert "a perfect network shows" in lines[2]
    assert "set\tcoverage\texpected\tclasses in a set\twith one class" in lines
    assert any(line.startswith("99 %\tno threshold is proved") for line in lines)


def test_json_is_one_document(cli: Cli) -> None:
    result = cli("report", "last", "--against", "last", "--json")
    document = json.loads(result.out)
    assert document["schema"] == "resnetctl.report/1"
    assert document["comparison"]["verdict"] == "not distinguishable"


def test_equal_models_are_not_distinguishable(cli: Cli) -> None:
    assert (
        "compared            not distinguishable from runs/first/model.safetensors"
        in cli("report", "--against", "first").out
    )


def test_the_verdict_reads_as_a_sentence() -> None:
    against = Against(target=Path("b.onnx"), comparison=compare(200, 100, n=1000), classes=())
    assert command.comparison_text(against).startswith("better than b.onnx: +10.00 points, 95 % interval +")


def test_a_missing_target_has_the_exit_code_of_input(cli: Cli) -> None:
    assert cli("report", "nothing").code == 3
    assert cli("report", "--split", "train").code == 2


def test_the_second_model_on_a_test_split_is_said(cli: Cli) -> None:
    assert "judged" not in cli("report").out
    store = open_store(settings.load().data_dir, "zoo")
    RunDir(Path("runs/first")).save_weights(to_bytes(network(seed=4).state_dict(), card(store)))
    for verb in ("report", "eval"):
        line = next(line for line in cli(verb).out.splitlines() if line.startswith("judged"))
        assert "2 networks on this test; interval for all of them " in line


def test_the_page_and_the_plots_are_named(cli: Cli) -> None:
    result = cli("report", "--html", "r.html", "--plots", "drawn")
    assert "wrote r.html" in result.err
    assert "wrote drawn/reliability.svg" in result.err
    assert Path("r.html").read_text().startswith("<!doctype html>")


def test_corrupted_images_have_a_mean_and_a_row_for_each_kind(cli: Cli) -> None:
    result = cli("report", "--corruption", "fog", "--corruption", "contrast")
    lines = result.out.splitlines()
    assert any(line.startswith("corrupted images    ") and "mean of 10 cells; 180 images" in line for line in lines)
    table = lines[lines.index("corruption\t1\t2\t3\t4\t5") :][1:3]
    assert [row.split("\t")[0] for row in table] == ["fog", "contrast"]
    assert all(len(row.split("\t")) == 6 for row in table)
    assert "corrupted" not in cli("report", "--quick").out
    assert cli("report", "--corruption", "snow").code == 2


def test_corruptions_are_chosen_by_name(cli: Cli) -> None:
    document = cli("report", "--corruption", "fog", "--corruption", "fog", "--json").json()
    assert [cell["severity"] for cell in document["corruptions"]["cells"]] == [1, 2, 3, 4, 5]
    result = cli("report", "--corruption", "smog")
    assert result.code == 2
    assert "'smog' is no corruption" in result.err
    assert "--corruption" in result.err
    result = cli("report", "--corruption", "fog", "--cifar-c", "nowhere")
    assert result.code == 3
    assert "nowhere/labels.npy" in result.err


def test_duplicates_are_counted_with_the_first_pair() -> None:
    pair = NearPair(split="test", name="a.png", train="b.png", row=0, other=1, score=0.9, is_same_class=True)
    found = Duplicates(pairs=(pair,), images=1, is_alike=False, accuracy_without=0.5)
    assert command.duplicates_text(found) == "1   (first: a.png and b.png; accuracy without them 50.00 %)"
    assert command.duplicates_text(Duplicates(pairs=(), images=0, is_alike=False, accuracy_without=0.5)) == (
        "none found in train"
    )


def test_each_set_of_strange_images_is_one_row() -> None:
    found = [
        Strangers(set=name, n=1200, score=score, auroc=0.97, fpr95=0.1, flagged=flagged, alarms=flagged)
        for name in ("aliens", "noise:gauss")
        for score, flagged in (("knn", None), ("means", 0.625))
    ]
    assert command.strange_table(found) == (
        ("AUROC of strange images", "images", "knn", "means", "predict notices"),
        [("aliens", 1200, "0.970", "0.970", "62.5 %"), ("noise:gauss", 1200, "0.970", "0.970", "62.5 %")],
    )
    assert command.strange_table(found[:1]) == (
        ("AUROC of strange images", "images", "knn"),
        [("aliens", 1200, "0.970")],
    )
