"""The commands of `runs` print runs from their files."""

import csv
import io
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from resnetctl.cli.commands import runs as list_of_runs
from resnetctl.cli.screen import streams
from resnetctl.runs.group import create_group

Cli = Callable[..., Any]


@pytest.fixture
def two_runs(machine: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TZ", "UTC-1")  # an hour ahead, as POSIX counts
    time.tzset()
    for name, top1, minute in (("a", 0.5, 6), ("b", 0.75, 5)):
        folder = machine / "runs" / name
        folder.mkdir(parents=True)
        (folder / "config.toml").write_text('data = "digits"\nepochs = 3\nseed = 4\n[model]\narch = "resnet20"\n')
        (folder / "config.sources.json").write_text("{}")
        (folder / "env.json").write_text(f'{{"created": "2026-11-25T09:0{minute}:00.000Z"}}')
        (folder / "metrics.jsonl").write_text(f'{{"epoch": 1, "val_top1": {top1}}}\n')
    (machine / "runs" / "last").symlink_to("a", target_is_directory=True)
    yield machine / "runs"
    monkeypatch.undo()
    time.tzset()


def test_list_prints_a_row_for_each_run(cli: Cli, two_runs: Path) -> None:
    assert cli("runs", "list").out.splitlines() == [
        "name\tstatus\tarch\tdata\trecipe\tseed\tepochs\tval acc\ttest acc\tstarted",
        "b\tunfinished\tresnet20\tdigits\t\t4\t1/3\t75.0 % *\t-\t2026-11-25 10:05",
        "a\tunfinished\tresnet20\tdigits\t\t4\t1/3\t50.0 %\t-\t2026-11-25 10:06",
    ]


def test_the_best_run_is_marked_and_the_mark_explained(cli: Cli, two_runs: Path) -> None:
    assert cli("runs", "list").err == (
        "* the best of the listed runs with the same val images; the best of many is partly luck\n"
    )
    alone = cli("runs", "list", "--where", "name=b")
    assert "*" not in alone.out + alone.err
    assert [row["best"] for row in cli("runs", "list", "--json").json()["runs"]] == [True, False]


def test_columns_left_out_of_a_narrow_list_exist(cli: Cli, two_runs: Path) -> None:
    columns = set(cli("runs", "list").out.splitlines()[0].split("\t"))
    assert set(list_of_runs.DROPPED) == set(list_of_runs.DROPPED_WITH_BLOCKS) < columns


def test_a_replaced_block_is_shown_with_the_arch(cli: Cli, two_runs: Path) -> None:
    config = two_runs / "a" / "config.toml"
    config.write_text(config.read_text() + 'block = "se_basic"\n')
    (two_runs / "a" / "config.sources.json").write_text('{"model.block": "--set"}')
    assert cli("runs", "list").out.splitlines()[2].split("\t")[2] == "resnet20 + se_basic"
    assert "arch     resnet20 + se_basic" in cli("runs", "show", "a").out.splitlines()


def test_a_failed_run_shows_its_reason(cli: Cli, two_runs: Path) -> None:
    (two_runs / "b" / "failure.json").write_text('{"message": "step 7: the output of layer \'stem\' is not finite"}')
    assert cli("runs", "list").out.splitlines()[1].split("\t")[1] == "failed"
    lines = cli("runs", "show", "b").out.splitlines()
    assert "failure  step 7: the output of layer 'stem' is not finite" in lines


def test_list_prints_json(cli: Cli, two_runs: Path) -> None:
    document = cli("runs", "list", "--json").json()
    assert document["schema"] == "resnetctl.runs.list/1"
    assert [row["val_top1"] for row in document["runs"]] == [0.75, 0.5]
    assert document["runs"][0]["created"] == "2026-11-25T09:05:00.000Z"


def test_an_empty_list_names_a_first_command(cli: Cli) -> None:
    result = cli("runs", "list")
    assert result.code == 0
    assert "resnetctl train --data digits" in result.err
    assert result.out.count("\n") == 1


def test_show_prints_the_newest_run(cli: Cli, two_runs: Path) -> None:
    lines = cli("runs", "show").out.splitlines()
    assert "val acc  50.0 %" in lines
    assert any(line.split() == ["metrics.jsonl", "30", "B"] for line in lines)


def test_show_counts_the_files_of_a_full_folder(cli: Cli, two_runs: Path) -> None:
    (two_runs / "a" / "report").mkdir()
    for number in range(31):
        (two_runs / "a" / "report" / f"{number}.safetensors").write_bytes(b"12")
    lines = cli("runs", "show", "a").out.splitlines()
    assert [line.split(maxsplit=1) for line in lines if "report" in line] == [["report/", "31 files, 62 B"]]


def test_plot_writes_curves_and_prints_their_paths(cli: Cli, two_runs: Path) -> None:
    with (two_runs / "a" / "metrics.jsonl").open("w") as file:
        file.write('{"epoch": 1, "val_top1": 0.5}\n{"epoch": 2, "val_top1": 0.6}\n')
    (path,) = cli("runs", "plot", "a", "--out", "figures").out.splitlines()
    assert Path(path) == Path("figures/accuracy.svg")
    assert Path(path).read_bytes().startswith(b"<svg")
    assert cli("runs", "plot", "a", "--json").json()["files"] == [str(Path("a-curves/accuracy.svg"))]
    assert cli("runs", "plot", "b").code == 2


def test_compare_leaves_out_what_no_run_uses(cli: Cli, two_runs: Path) -> None:
    for name, weight in (("a", 0.9), ("b", 0.5)):
        (two_runs / name / "config.toml").write_text(f'data = "digits"\n[distill]\nteacher = ""\nweight = {weight}\n')
    done = cli("runs", "compare", "a", "b")
    assert "distill" not in done.out
    assert "The configs are equal, but for keys that no run uses: distill.weight" in done.err
    assert cli("runs", "compare", "a", "b", "--json").json()["unused"] == ["distill.weight"]


def test_show_prints_json(cli: Cli, two_runs: Path) -> None:
    document = cli("runs", "show", "a", "--json").json()
    assert document["schema"] == "resnetctl.runs.show/1"
    assert document["metrics"] == [{"epoch": 1, "val_top1": 0.5}]
    assert document["summary"] is None


def test_a_missing_run_is_exit_3(cli: Cli, two_runs: Path) -> None:
    result = cli("runs", "show", "c")
    assert result.code == 3
    assert result.err.startswith("error: there is no run 'c'\n")


def test_list_is_sorted_and_filtered(cli: Cli, two_runs: Path) -> None:
    lines = cli("runs", "list", "--sort", "val_top1", "--where", "seed=4", "--where", "epochs=3").out.splitlines()
    assert [line.partition("\t")[0] for line in lines] == ["name", "a", "b"]


def test_conditions_that_no_run_meets_are_told(cli: Cli, two_runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = cli("runs", "list", "--where", "seed=4", "--where", "epochs=1")
    assert result.code == 0
    assert result.err == "No run has seed=4 and epochs=1; 2 runs in runs. epochs is 3 where seed=4\n"
    assert result.out.startswith("name\tstatus"), "a program that reads the table finds its header"
    assert cli("runs", "export", "--where", "seed=5").err.startswith("No run has seed=5; 2 runs")
    document = cli("runs", "list", "--where", "seed=5", "--json")
    assert (document.json()["runs"], document.err) == ([], "")
    monkeypatch.setattr(streams, "is_terminal", lambda stream: True)
    assert cli("runs", "list", "--where", "seed=5").out == ""


def test_an_empty_folder_names_the_command_that_starts_a_run(cli: Cli, machine: Path) -> None:
    for options in ([], ["--where", "seed=5"]):
        assert cli("runs", "list", *options).err == (
            "There is no run in runs. Start one: resnetctl train --data digits\n"
        )


def test_compare_prints_what_differs(cli: Cli, two_runs: Path) -> None:
    config = two_runs / "a" / "config.toml"
    config.write_text("lr = 0.5\n" + config.read_text())
    assert cli("runs", "compare", "a", "b").out.splitlines() == [
        "key\ta\tb",
        "lr\t0.5\t-",
        "status\tunfinished\tunfinished",
        "epochs trained\t1\t1",
        "val acc\t50.00 %\t75.00 %",
        "test acc\t-\t-",
        "time\t-\t-",
    ]
    assert cli("runs", "compare", "a", "b", "--json").json()["config"] == {"lr": [0.5, None]}
    assert cli("runs", "compare", "a").code == 2


def test_many_runs_have_a_row_each_and_two_groups_a_pointer(cli: Cli, two_runs: Path) -> None:
    create_group(two_runs, "five", plan={"keys": [], "points": {"0": {}}}, configs={})
    create_group(two_runs, "six", plan={"keys": [], "points": {"0": {}}}, configs={})
    for group, count in (("five", 2), ("six", 3)):
        for number in range(count):
            shutil.copytree(two_runs / "a", two_runs / group / f"{number}-seed{number}")
    side = cli("runs", "compare", "five", "six")
    assert side.out.splitlines()[0].split("\t")[:2] == ["key", "five/0-seed0"]
    assert side.err.startswith("resnetctl sweep show five --against six    compares the groups by their means")
    rows = cli("runs", "compare", "five", "six", "b").out.splitlines()
    assert rows[0] == "run\tstatus\tepochs trained\tval acc\ttest acc\ttime"
    assert [row.partition("\t")[0] for row in rows[1:3]] == ["five/0-seed0", "five/1-seed1"]
    assert len(rows) == 7


def test_compare_says_that_val_accuracies_of_other_images_do_not_compare(cli: Cli, two_runs: Path) -> None:
    assert "val on different images" not in cli("runs", "compare", "a", "b").err
    for name, digit in (("a", "1"), ("b", "2")):
        digests = json.dumps({"data": {"name": "digits", "digests": {"train": digit * 64}}})
        (two_runs / name / "env.json").write_text(digests)
    result = cli("runs", "compare", "a", "b")
    assert f"data.digests.train\t{'1' * 12}\t{'2' * 12}" in result.out.splitlines()
    assert "val on different images, so their val accuracies do not compare" in result.err
    assert "resnetctl eval RUN" in result.err
    assert "*" not in cli("runs", "list").out


def test_the_mark_of_the_best_is_explained_in_lines_of_whole_words(
    cli: Cli, two_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "is_terminal", lambda stream: True)
    monkeypatch.setenv("COLUMNS", "80")
    lines = cli("runs", "list").err.splitlines()
    assert lines[1:] == ["partly luck"]
    assert all(len(line) <= 80 for line in lines)


def test_equal_configs_are_told(cli: Cli, two_runs: Path) -> None:
    assert cli("runs", "compare", "a", "b").err == "The configs are equal\n"


def test_export_writes_csv(cli: Cli, two_runs: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(cli("runs", "export", "--csv").out)))
    assert [(row["name"], row["val_top1"], row["config.model.arch"]) for row in rows] == [
        ("b", "0.75", "resnet20"),
        ("a", "0.5", "resnet20"),
    ]
    result = cli("runs", "export", "--where", "name=a", "--out", "runs.csv")
    assert (result.out, result.err) == ("", "wrote 1 run to runs.csv\n")
    assert [row["name"] for row in csv.DictReader(io.StringIO(Path("runs.csv").read_text()))] == ["a"]
    assert cli("runs", "export", "--out", "nowhere/runs.csv").code == 2


def test_remove_without_a_terminal_needs_yes(cli: Cli, two_runs: Path) -> None:
    result = cli("runs", "remove", "a")
    assert result.code == 2
    assert "try    --yes" in result.err
    assert cli("runs", "remove", "a", "--yes").out == f"removed {(two_runs / 'a').resolve()}\n"
    assert sorted(path.name for path in two_runs.iterdir()) == ["b", "last"]
    assert cli("runs", "remove", "last", "-y", "--json").json()["removed"] == [str((two_runs / "b").resolve())]


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, ["b", "last"]), ("\n", 2, ["a", "b", "last"])])
def test_remove_asks_on_a_terminal(
    cli: Cli, two_runs: Path, terminal: None, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, left: list[str]
) -> None:
    stdin = io.StringIO(answer)
    monkeypatch.setattr(stdin, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", stdin)
    result = cli("runs", "remove", "a")
    assert result.code == code
    assert "a   unfinished, " in result.err
    assert "Remove 1 run? [y/N] " in result.err
    assert sorted(path.name for path in two_runs.iterdir()) == left


def test_diff_prints_what_differs_and_from_which_epoch_on(cli: Cli, two_runs: Path) -> None:
    config = two_runs / "a" / "config.toml"
    config.write_text("lr = 0.5\n" + config.read_text())
    (two_runs / "a" / "config.sources.json").write_text('{"lr": "argument lr"}')
    (two_runs / "a" / "env.json").write_text('{"packages": {"torch": "2.12"}, "data": {"digests": {"train": "ab"}}}')
    assert cli("runs", "diff", "a", "b").out.splitlines() == [
        "config\ta\tfrom\tb\tfrom",
        "lr\t0.5\targument lr\t-\t-",
        "",
        "versions\ta\tb",
        "packages.torch\t2.12\t-",
        "",
        "data\ta\tb",
        "data.digests.train\tab\t-",
        "",
        "The curves differ from epoch 1:",
        "number\ta\tb",
        "val_top1\t0.5\t0.75",
    ]
    document = cli("runs", "diff", "a", "b", "--json").json()
    assert document["curves"] == {"epochs": [1, 1], "equal": 0, "epoch": 1, "numbers": {"val_top1": [0.5, 0.75]}}
    assert cli("runs", "diff", "a").code == 2
    assert cli("runs", "diff", "a", "c").code == 3


def test_diff_shows_six_digits_or_as_many_as_differ(cli: Cli, two_runs: Path) -> None:
    for name, loss, top1 in (("a", 2.459386684501807, 0.5), ("b", 2.245782316791301, 0.5000000000000001)):
        text = f'{{"epoch": 1, "train_loss": {loss}, "val_top1": {top1}}}\n'
        (two_runs / name / "metrics.jsonl").write_text(text)
    assert cli("runs", "diff", "a", "b").out.splitlines()[-2:] == [
        "train_loss\t2.45939\t2.24578",
        "val_top1\t0.5\t0.5000000000000001",
    ]


def test_diff_of_equal_runs_says_how_far_they_are_equal(cli: Cli, two_runs: Path) -> None:
    assert cli("runs", "diff", "a", "a").out.splitlines() == [
        "The configs are equal",
        "",
        "The curves are equal to the last digit for 1 epoch",
    ]
    with (two_runs / "b" / "metrics.jsonl").open("w") as file:
        file.write('{"epoch": 1, "val_top1": 0.5}\n{"epoch": 2, "val_top1": 0.6}\n')
    assert cli("runs", "diff", "a", "b").out.splitlines()[-1].endswith("for 1 epoch; one run has 2 epochs")
    (two_runs / "b" / "metrics.jsonl").unlink()
    assert cli("runs", "diff", "a", "b").out.splitlines()[-1] == "No epoch of both runs can be compared"


def test_verify_says_that_a_run_needs_a_plugin_that_is_gone(
    cli: Cli, two_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from resnetctl.tasks.runs import verify

    missing = {"resnetctl-gated": "0.1.0"}
    for usable, words in ((False, "used or resumed"), (True, "resumed")):
        report = verify.VerifyReport(run=two_runs / "a", checks=(), differences=(), missing=missing, usable=usable)
        monkeypatch.setattr(verify, "verify", lambda *_, report=report: report)
        result = cli("runs", "verify", "a")
        assert result.code == 0, "the files are intact"
        assert f"the run cannot be {words} here without resnetctl-gated 0.1.0" in result.err
        assert "install resnetctl-gated 0.1.0" in result.err


def test_test_accuracies_of_other_images_are_marked_and_explained(cli: Cli, two_runs: Path) -> None:
    for name, images in (("a", "1" * 64), ("b", "2" * 64)):
        (two_runs / name / "eval").mkdir()
        report = {"top1": 0.5, "epoch": 1, "images": images}
        (two_runs / name / "eval" / "digits-test.json").write_text(json.dumps(report))
    listed = cli("runs", "list")
    assert [line.split("\t")[8] for line in listed.out.splitlines()[1:]] == ["50.0 % a", "50.0 % b"]
    assert "a, b: test accuracies of one dataset with different letters" in listed.err
    compared = cli("runs", "compare", "a", "b").err
    assert "test accuracies do not compare" in compared
    assert "resnetctl eval RUN --data NAME" in compared
    for name in ("a", "b"):
        shared = {"data": "photos", "top1": 0.25, "epoch": 1, "images": "3" * 64}
        (two_runs / name / "eval" / "photos-test.json").write_text(json.dumps(shared))
    compared = cli("runs", "compare", "a", "b")
    assert "test on photos\t25.0 %\t25.0 %" in compared.out.splitlines()
    assert "resnetctl eval" not in compared.err
    rows = csv.DictReader(io.StringIO(cli("runs", "export").out))
    assert [row["test_images"] for row in rows] == ["2" * 12, "1" * 12]
    (two_runs / "a" / "eval" / "digits-test.json").write_text(json.dumps({**report, "images": "2" * 64}))
    same = cli("runs", "list")
    assert [line.split("\t")[8] for line in same.out.splitlines()[1:]] == ["50.0 %", "50.0 %"]
    assert "letters" not in same.err
    assert "test accuracies" not in cli("runs", "compare", "a", "b").err


def test_remove_lists_what_a_pattern_stands_for(cli: Cli, two_runs: Path) -> None:
    result = cli("runs", "remove", "*")
    assert result.code == 2
    assert [line.split()[0] for line in result.err.splitlines()[:2]] == [str(two_runs / name) for name in "ba"]
    assert len(cli("runs", "remove", "[ab]", "--yes").out.splitlines()) == 2
    assert list(two_runs.iterdir()) == []


@pytest.fixture
def group(two_runs: Path) -> Path:
    """Two runs that are those of a group, and no run beside it."""
    (two_runs / "last").unlink()
    (two_runs / "five" / "queue").mkdir(parents=True)
    (two_runs / "five" / "sweep.json").write_text("{}")
    for name in "ab":
        (two_runs / name).rename(two_runs / "five" / name)
    return two_runs


def test_runs_of_a_group_are_listed_exported_and_shown_by_their_names(cli: Cli, group: Path) -> None:
    names = ["name", "five/b", "five/a"]
    assert [line.split("\t")[0] for line in cli("runs", "list").out.splitlines()] == names
    assert [line.split(",")[0] for line in cli("runs", "export", "--csv").out.splitlines()] == names
    assert "name     five/a" in cli("runs", "show", "five/a").out.splitlines()
    assert cli("runs", "compare", "five/*").out.splitlines()[0] == "key\tfive/b\tfive/a"
    assert cli("runs", "diff", "five/a", "five/b").code == 0
    assert cli("runs", "remove", "five/a", "--yes").code == 0
    assert [path.name for path in (group / "five").iterdir() if path.is_dir()] in (["queue", "b"], ["b", "queue"])


def test_an_export_of_no_run_has_a_header(cli: Cli, machine: Path) -> None:
    assert cli("runs", "export", "--csv").out.startswith("name,status,arch,")
