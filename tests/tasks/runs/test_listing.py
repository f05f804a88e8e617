"""The facts of a run come from its files, whatever state it is in."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from resnetctl.errors import UsageError
from resnetctl.runs import RunDir
from resnetctl.runs.group import create_group
from resnetctl.tasks.runs import listing

CONFIG = 'data = "digits"\nepochs = 3\nseed = 7\n[model]\narch = "resnet20"\n'


def run(folder: Path, *, metrics: str = "", summary: str | None = None, config: str = CONFIG) -> RunDir:
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(config)
    (folder / "metrics.jsonl").write_text(metrics)
    if summary is not None:
        (folder / "summary.json").write_text(summary)
    return RunDir(folder)


def test_a_locked_run_is_running(tmp_path: Path) -> None:
    one = run(tmp_path / "a")
    with one.locked():
        assert listing.facts(one)["status"] == "running"
    assert listing.facts(one)["status"] == "unfinished"


def test_the_facts_of_an_unfinished_run(tmp_path: Path) -> None:
    lines = '{"epoch": 1, "val_top1": 0.5}\n{"epoch": 2, "val_top1": 0.75}\n{"epo'
    assert listing.facts(run(tmp_path / "a", metrics=lines)) == {
        "name": "a",
        "status": "unfinished",
        "arch": "resnet20",
        "block": None,
        "data": "digits",
        "recipe": None,
        "seed": 7,
        "epochs": 2,
        "epochs_planned": 3,
        "epochs_trained": 2,
        "val_top1": 0.75,
        "test_top1": None,
        "created": None,
        "failure": None,
    }


@pytest.mark.parametrize(("keep", "top1"), [("best", 0.75), ("last", 0.5)])
def test_the_val_accuracy_is_that_of_the_weights_that_the_run_keeps(tmp_path: Path, keep: str, top1: float) -> None:
    epochs = [(0.25, True), (0.75, True), (0.5, False)]
    lines = [{"epoch": n, "val_top1": top, "best": best} for n, (top, best) in enumerate(epochs, 1)]
    metrics = "".join(json.dumps(line) + "\n" for line in lines)
    one = run(tmp_path / "a", config=f'keep = "{keep}"\n{CONFIG}', metrics=metrics)
    assert listing.facts(one)["val_top1"] == top1


@pytest.mark.parametrize(
    ("arch", "block", "origin", "shown"),
    [
        ("resnet20", "se_basic", "default", None),
        ("resnet20", "se_basic", "flag --block", "se_basic"),
        ("resnet20", "basic", "runs/a/config.toml:37", None),
        ("resnet20", "preact_basic", "runs/a/config.toml:37", "preact_basic"),
        ("resnet20-blocks-2-2-2", "basic", "weights", None),
        ("resnet20-blocks-2-2-2-channels", "preact_basic", "weights", "preact_basic"),
        ("not-installed", "se_basic", "weights", None),
        ("not-installed", "se_basic", "flag --block", "se_basic"),
    ],
)
def test_the_facts_name_a_block_other_than_that_of_the_arch(
    tmp_path: Path, arch: str, block: str, origin: str, shown: str | None
) -> None:
    config = CONFIG.replace("resnet20", arch) + f'block = "{block}"\n'
    run_dir = run(tmp_path / "a", config=config)
    (run_dir.path / "config.sources.json").write_text(f'{{"model.block": "{origin}"}}')
    assert listing.facts(run_dir)["block"] == shown


def test_the_facts_of_a_failed_run_give_the_reason_and_the_start(tmp_path: Path) -> None:
    run_dir = run(tmp_path / "a", config=CONFIG.replace("epochs = 3", "epochs = 3\nsteps = 7"))
    (run_dir.path / "env.json").write_text('{"created": "2026-11-25T23:08:38.042Z"}')
    run_dir.save_failure("step 7: x")
    facts = listing.facts(run_dir)
    assert (facts["status"], facts["failure"], facts["created"]) == ("failed", "step 7: x", "2026-11-25T23:08:38.042Z")
    assert facts["epochs_planned"] is None  # its steps decide


def test_a_finished_run_without_val_has_no_val_accuracy(tmp_path: Path) -> None:
    facts = listing.facts(run(tmp_path / "a", metrics='{"epoch": 1}\n', summary='{"arch": "wrn16_4"}'))
    assert (facts["status"], facts["arch"], facts["val_top1"]) == ("finished", "wrn16_4", None)


def test_a_broken_run_is_listed_as_unreadable(tmp_path: Path) -> None:
    assert listing.facts(run(tmp_path / "a", config="= =")) == {"name": "a", "status": "unreadable"}
    assert listing.facts(run(tmp_path / "b", summary="{")) == {"name": "b", "status": "unreadable"}


@pytest.mark.parametrize(("name", "text"), [
    ("config.toml", "model = 3"), ("summary.json", "{}"), ("summary.json", "[" * 10_000), ("env.json", "[]"),
    ("metrics.jsonl", '{"val_top1": "high"}\n'), ("config.sources.json", '{"lr": 3}'),
    ("eval/digits-test.json", "[" * 10_000),
    ("eval/digits-test.json", '{"top1": "high"}'),
])  # fmt: skip
def test_one_bad_run_never_breaks_the_list(tmp_path: Path, name: str, text: str) -> None:
    bad = run(tmp_path / "a")
    run(tmp_path / "b")
    (bad.path / "eval").mkdir()
    (bad.path / name).write_text(text)
    rows = listing.list_runs(tmp_path, sort="name", where=["name=a"]).runs
    assert [row["name"] for row in rows] == ["a"]
    assert rows[0].get("val_top1") is None
    assert rows[0].get("test_top1") is None


def test_last_is_listed_by_the_name_of_its_run(tmp_path: Path) -> None:
    run_dir = run(tmp_path / "a")
    (tmp_path / "last").symlink_to("a", target_is_directory=True)
    assert listing.facts(RunDir(tmp_path / "last")) == listing.facts(run_dir)


def test_runs_of_groups_are_listed_sorted_and_chosen_like_all_others(tmp_path: Path) -> None:
    create_group(tmp_path, "five", plan={"keys": [], "points": {"0": {}}}, configs={"0-seed0": "", "1-seed1": ""})
    for number, seed in enumerate((3, 1)):
        run(tmp_path / "five" / f"{number}-seed{number}", config=CONFIG.replace("seed = 7", f"seed = {seed}"))
    run(tmp_path / "a")
    rows = listing.list_runs(tmp_path, sort="seed", where=["seed=3"]).runs
    assert [row["name"] for row in rows] == ["five/0-seed0"]
    names = [row["name"] for row in listing.list_runs(tmp_path, sort="seed").runs]
    assert names == ["five/1-seed1", "five/0-seed0", "a"]


def test_an_empty_table_has_the_columns_that_every_table_has(tmp_path: Path) -> None:
    run(tmp_path / "a")
    rows = [listing.flat(row) for row in listing.list_runs(tmp_path).runs]
    header = listing.to_csv([]).splitlines()
    assert header == [",".join(key for key in rows[0] if not key.startswith("config."))]


def test_files_are_listed_with_their_sizes(tmp_path: Path) -> None:
    run_dir = run(tmp_path / "a")
    (run_dir.path / ".lock").touch()
    (run_dir.path / "eval").mkdir()
    (run_dir.path / "eval" / "digits-test.json").write_text("{}")
    assert listing.files(run_dir) == {"config.toml": len(CONFIG), "eval/digits-test.json": 2, "metrics.jsonl": 0}


LIES = {
    "config.toml": [
        b"a = " + b"[" * 10**5,
        b"epochs = " + b"9" * 5000,
        b".".join([b"a"] * 50_000) + b" = 1",
        b"data = 5",
    ],
    "summary.json": [b"[" * 10**5, b'{"arch": 5}', b'{"epochs": "x"}', b'{"best": {"val_top1": "1"}}', b"[]"],
    "metrics.jsonl": [b"[" * 10**5, b'{"val_top1": "best"}', b"5", b'{"epoch": ' + b"9" * 5000 + b"}"],
    "env.json": [b"[" * 10**5, b'{"created": 5}', b"[]"],
    "failure.json": [b"[" * 10**5, b'{"message": 5}'],
    "config.sources.json": [b"[" * 10**5, b"[]"],
}


def test_a_run_that_lies_breaks_no_list(tmp_path: Path) -> None:
    number = 0
    for name, contents in LIES.items():
        for content in contents:
            number += 1
            (run(tmp_path / f"{number:02d}").path / name).write_bytes(content)
    for name in LIES:
        number += 1
        (run(tmp_path / f"{number:02d}").path / name).unlink(missing_ok=True)
        if name != "config.toml":  # without it, the folder is no run
            os.mkfifo(tmp_path / f"{number:02d}" / name)
    run(tmp_path / "fine")
    report = listing.list_runs(tmp_path)
    assert {row["name"]: row["status"] for row in report.runs}["fine"] == "unfinished"
    assert len(report.runs) == number  # one has no config
    for row in report.runs:
        assert row["status"] in ("unfinished", "unreadable", "finished", "failed")


def test_the_facts_name_the_recipe(tmp_path: Path) -> None:
    run_dir = run(tmp_path / "a")
    (run_dir.path / "config.sources.json").write_text('{"epochs": "flag --epochs", "lr": "recipe fast"}')
    assert listing.facts(run_dir)["recipe"] == "fast"


def measured(run_dir: RunDir, epoch: int | None) -> None:
    run_dir.write_eval("digits-test", {"top1": 0.9, "epoch": epoch, "confusion": [[1]]})


@pytest.mark.parametrize(("epoch", "expected"), [(1, 0.9), (2, None), (None, None)])
def test_the_test_accuracy_is_that_of_the_kept_weights(
    tmp_path: Path, epoch: int | None, expected: float | None
) -> None:
    lines = '{"epoch": 1, "val_top1": 0.5, "best": true}\n{"epoch": 2, "val_top1": 0.4, "best": false}\n'
    run_dir = run(tmp_path / "a", metrics=lines)
    measured(run_dir, epoch)
    assert listing.facts(run_dir)["test_top1"] == expected


def test_the_last_epoch_is_the_kept_one_without_val(tmp_path: Path) -> None:
    run_dir = run(tmp_path / "a", metrics='{"epoch": 1}\n{"epoch": 2}\n')
    measured(run_dir, 2)
    assert listing.facts(run_dir)["test_top1"] == 0.9


def test_an_unreadable_report_is_left_out(tmp_path: Path) -> None:
    run_dir = run(tmp_path / "a")
    measured(run_dir, None)
    (run_dir.path / "eval" / "digits-val.json").write_text("[")
    assert list(listing.details(run_dir)["evals"]) == ["digits-test"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three runs that differ in lr, and one that cannot be read."""
    for name, lr in (("a", "0.1"), ("b", "0.05"), ("c", "0.1")):
        own = 'block = "basic"\n' if name == "c" else ""  # the arch's own, as a finished config has it
        run(
            tmp_path / name,
            config=f"lr = {lr}\nflag = true\n{CONFIG}{own}",
            metrics=f'{{"epoch": 1, "val_top1": {lr}}}\n',
        )
    run(tmp_path / "d", config="= =")
    return tmp_path


@pytest.mark.parametrize(("options", "names"), [
    ({}, "abcd"),
    ({"where": ["lr=0.10"]}, "ac"),
    ({"where": ["lr=0.1", "name=c"]}, "c"),
    ({"where": ["arch=resnet20", "flag=true"]}, "abc"),
    ({"where": ["model.arch=resnet20"], "sort": "lr"}, "bac"),
    ({"where": ["status=unreadable"]}, "d"),
    ({"where": ["recipe="]}, "abcd"),
    ({"where": ["lr=high"]}, ""),
    ({"sort": "val_top1"}, "dbac"),
    ({"sort": "val acc"}, "dbac"),
    ({"sort": "val_acc", "reverse": True}, "cabd"),
    ({"where": ["block=basic"]}, "c"),
    ({"sort": "name", "reverse": True}, "dcba"),
])  # fmt: skip
def test_runs_are_chosen_and_sorted_by_facts_and_config(folder: Path, options: dict[str, Any], names: str) -> None:
    assert "".join(row["name"] for row in listing.list_runs(folder, **options).runs) == names


def test_the_best_is_marked_among_the_listed_runs_with_the_same_val_images(folder: Path) -> None:
    def marked(**options: Any) -> str:
        return "".join(row["name"] for row in listing.list_runs(folder, **options).runs if row["best"])

    assert marked() == "ac", "equal runs share the mark"
    assert marked(where=["lr=0.05"]) == "", "one run is not the best of several"
    run(folder / "e", config=f"val_fraction = 0.5\n{CONFIG}", metrics='{"epoch": 1, "val_top1": 0.9}\n')
    assert marked() == "ac", "it has other val images"
    run(folder / "f", config=f"val_fraction = 0.5\n{CONFIG}", metrics='{"epoch": 1, "val_top1": 0.8}\n')
    assert marked() == marked(sort="val_top1", reverse=True)[::-1] == "ace"


def test_the_name_of_a_flag_is_a_key_too(folder: Path) -> None:
    run(folder / "e", config=CONFIG + '[optim]\nname = "adamw"\n')
    assert [row["name"] for row in listing.list_runs(folder, where=["optimizer=adamw"]).runs] == ["e"]


def test_epochs_is_the_config_key_and_epochs_trained_is_what_was_trained(tmp_path: Path) -> None:
    for name, planned, trained in (("a", 7, 3), ("b", 3, 3), ("c", 5, 4)):
        lines = "".join(f'{{"epoch": {epoch}}}\n' for epoch in range(1, trained + 1))
        run(tmp_path / name, config=CONFIG.replace("epochs = 3", f"epochs = {planned}"), metrics=lines)

    def names(**options: Any) -> str:
        return "".join(row["name"] for row in listing.list_runs(tmp_path, **options).runs)

    assert (names(where=["epochs=7"]), names(where=["epochs=3"]), names(sort="epochs")) == ("a", "b", "bca")
    assert names(where=["epochs_trained=3"]) == names(where=["epochs trained=3"]) == "ab"
    assert names(sort="epochs_trained", reverse=True) == "cba"
    assert [row["epochs"] for row in listing.list_runs(tmp_path).runs] == [3, 3, 4], "JSON is as it was"


def test_the_condition_that_no_run_meets_is_told_with_the_values_that_there_are(folder: Path) -> None:
    why = listing.why_none
    assert why(folder, ["lr=0.3"]) == f"No run has lr=0.3; 4 runs in {folder}. lr is (none), 0.05, 0.1"
    assert why(folder, ["lr=0.1", "name=b"]) == (
        f"No run has lr=0.1 and name=b; 4 runs in {folder}. name is a, c where lr=0.1"
    )
    for name in "efghi":
        run(folder / name)
    assert why(folder, ["name=z"]).endswith("name is a, b, c, d, e and 4 more")
    assert (why(folder, []), why(folder / "a", ["lr=1"])) == ("", "")


@pytest.mark.parametrize(("options", "message"), [
    ({"where": ["lr"]}, "is not key=value"),
    ({"where": ["lrr=1"]}, "no run has 'lrr'"),
    ({"sort": "x"}, "no run has 'x'"),
])  # fmt: skip
def test_an_unknown_key_is_a_usage_error(folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        listing.list_runs(folder, **options)


def test_a_row_has_everything(folder: Path) -> None:
    row = listing.list_runs(folder, where=["name=a"]).runs[0]
    assert row["config"]["model"] == {"arch": "resnet20"}
    assert row["path"] == str(folder / "a")
    assert listing.flat(row)["config.model.arch"] == "resnet20"


def test_a_run_with_a_head_has_its_own_number(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"epoch": one, "val_map50": one / 10, "val_map": 0.9}) + "\n" for one in (1, 2))
    one = run(tmp_path / "a", metrics=lines)
    facts = listing.facts(one)
    assert (facts["primary"], facts["val"], facts["test"]) == ("map50", 0.2, None)
    assert not {"val_top1", "test_top1"} & facts.keys()
    report = {"primary": "map50", "map50": 0.25, "map": 0.1, "epoch": 2, "split": "test", "data": "digits", "count": 9}
    one.write_eval("digits-test", report)
    row = listing.details(one)
    assert row["test"] == 0.25
    assert row["evals"]["digits-test"].keys() == {"data", "split", "primary", "map50", "count", "interval", "epoch"}


def test_many_files_of_a_folder_are_one_entry() -> None:
    few, many = ({f"report/{name}.safetensors": 10 for name in range(count)} for count in (5, 31))
    assert listing.folded(few) == dict.fromkeys(few, (1, 10))
    assert listing.folded({"config.toml": 3, **many}) == {"config.toml": (1, 3), "report/": (31, 310)}
