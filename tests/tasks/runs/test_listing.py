"""The facts of a run come from its files, whatever state it is in."""

import os
from pathlib import Path

from resnetctl.runs import RunDir
from resnetctl.tasks.runs import listing

CONFIG = 'data = "digits"\nepochs = 3\n[model]\narch = "resnet20"\n'


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
        "epochs": 2,
        "epochs_planned": 3,
        "val_top1": 0.75,
        "created": None,
        "failure": None,
    }


def test_the_facts_name_a_block_that_the_user_chose(tmp_path: Path) -> None:
    config = CONFIG + 'block = "se_basic"\n'
    for number, (origin, block) in enumerate([("default", None), ("weights", None), ("flag --block", "se_basic")]):
        run_dir = run(tmp_path / str(number), config=config)
        (run_dir.path / "config.sources.json").write_text(f'{{"model.block": "{origin}"}}')
        assert listing.facts(run_dir)["block"] == block


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


def test_last_is_listed_by_the_name_of_its_run(tmp_path: Path) -> None:
    run_dir = run(tmp_path / "a")
    (tmp_path / "last").symlink_to("a", target_is_directory=True)
    assert listing.facts(RunDir(tmp_path / "last")) == listing.facts(run_dir)


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
