"""What a run looks like."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resnetctl.cli import training
from resnetctl.config.models import TrainConfig
from resnetctl.tasks.facts import EpochTimed, Started

Make = Callable[..., Started]
Epoch = Callable[..., EpochTimed]


def test_the_header_is_two_lines(started: Make) -> None:
    assert training.header(started(), "train", width=80) == [
        "resnetctl train  resnet20 on digits   272,474 params   cpu (1 thread)   seed 0",
        "runs/a   1,294 + 143 val images, 8 px   config: recipe fast + 1 flag",
    ]


def test_images_that_grow_say_from_where(started: Make) -> None:
    assert "images, 4 to 8 px" in training.header(started(sides=((0, 4), (20, 8))), "train", width=80)[1]


def test_a_long_header_flows_and_is_not_cut(started: Make) -> None:
    run = Path("runs/20261123-214412-preact_resnet110-a-long-dataset-name")
    lines = training.header(started(run=run, val_images=0), "train", width=80)
    assert lines[1:] == [f"{run}   1,294 images, 8 px", "config: recipe fast + 1 flag"]


def test_a_dry_run_and_a_gpu(started: Make) -> None:
    config = TrainConfig(data="digits", epochs=3, device="cuda", threads=4)
    first, second = training.header(started(run=None, config=config), "train", width=80)
    assert "   cuda   " in first
    assert second.startswith("dry run   ")


@pytest.mark.parametrize(
    ("origins", "text"),
    [
        ({"lr": "default"}, "defaults"),
        ({"lr": "resnetctl.toml:3", "seed": "/a/my.toml:1"}, "my.toml + resnetctl.toml"),
        ({"lr": "flag --lr", "seed": "flag --seed", "epochs": "--set"}, "1 --set + 2 flags"),
        ({"lr": "recipe paper", "seed": "flag --seed"}, "recipe paper + 1 flag"),
    ],
)
def test_where_the_config_came_from(origins: dict[str, str], text: str) -> None:
    assert training.said(origins) == text


def test_the_table_with_val(epoch_done: Epoch) -> None:
    columns = training.columns(True, 80)
    assert [*training.table_head(columns), training.epoch_line(epoch_done(8, 0.875), 0.9194, columns=columns)] == [
        " epoch      lr  train loss  val loss  val acc     best    img/s     time",
        " " + "─" * 71,
        "     8  0.0987       0.250     0.500   87.5 %   91.9 %    1,912    3.1 s",
    ]


@pytest.mark.parametrize(
    ("width", "names"),
    [
        (80, "epoch lr train loss val loss val acc best img/s time"),
        (70, "epoch lr train loss val loss val acc best time"),
        (60, "epoch lr train loss val loss val acc time"),
        (50, "epoch lr train loss val acc time"),
        (40, "epoch train loss val acc time"),
    ],
)
def test_a_narrow_table_has_fewer_columns(epoch_done: Epoch, width: int, names: str) -> None:
    columns = training.columns(True, width)
    assert " ".join(name for name, _ in columns) == names
    line = training.epoch_line(epoch_done(100, 1.0, is_best=True, seconds=36000), 1.0, columns=columns)
    assert line.endswith(" 10:00:00  *")
    assert max(map(len, [*training.table_head(columns), line])) <= width


@pytest.mark.parametrize(
    ("width", "names"), [(60, "epoch lr train loss train acc img/s time"), (41, "epoch train loss train acc time")]
)
def test_the_table_without_val(epoch_done: Epoch, width: int, names: str) -> None:
    columns = training.columns(False, width)
    head, rule = training.table_head(columns)
    line = training.epoch_line(epoch_done(1, None), None, columns=columns)
    assert head.split() == names.split()
    assert len(head) == len(rule) == len(line) <= width


def test_best_is_unknown_after_a_resume_until_it_is_beaten(epoch_done: Epoch, started: Make) -> None:
    history = training.History(started=started())
    history.add(epoch_done(5, 0.8))
    assert history.best is None
    history.add(epoch_done(6, 0.9, is_best=True))
    history.add(epoch_done(7, 0.7))
    assert (history.best, history.val_top1) == (0.9, [0.8, 0.9, 0.7])


@pytest.mark.parametrize(
    ("step", "left", "right"),
    [
        (1, "epoch 1/3 ", " 1/10 loss 1.500 ETA 0:01:04"),
        (10, "epoch 1/3 ", " 10/10 loss 1.500 ETA 0:01:04"),
        (11, "epoch 2/3 ", " 1/10 loss 1.500 ETA 0:01:04"),
        (30, "epoch 3/3 ", " 10/10 loss 1.500 ETA 0:01:04"),
    ],
)
def test_live_lines(started: Make, step: int, left: str, right: str) -> None:
    lines = training.live_lines(training.History(started=started()), step, loss=1.5, eta=64, width=80)
    assert lines[0].startswith(left)
    assert lines[0].endswith(right)
    assert len(lines[0]) == 79
    assert lines[-1] == training.HINT


def test_a_narrow_screen_never_shows_half_a_time(started: Make, epoch_done: Epoch) -> None:
    history = training.History(started=started())
    for number in range(1, 10):
        history.add(epoch_done(number, 0.5))
    lines = training.live_lines(history, 17, loss=1.5, eta=3600 * 30, width=40)
    assert lines[0].startswith("epoch 2/3 ")
    assert lines[0].endswith(" 7/10 ETA 1 day, 6:00:00")
    assert [line.split()[:2] for line in lines[1:3]] == [["val", "acc"], ["train", "loss"]]
    assert max(map(len, lines[:-1])) < 40


def test_live_lines_of_a_run_that_ends_mid_epoch(started: Make) -> None:
    history = training.History(started=started(steps=25))
    line = training.live_lines(history, 24, loss=1.0, eta=None, width=80)[0]
    assert line.startswith("epoch 3/3 ")
    assert line.endswith(" 4/5 loss 1.000")


def test_live_lines_show_trends(started: Make, epoch_done: Epoch) -> None:
    history = training.History(started=started())
    for number, top1 in ((1, 0.5), (2, 0.9)):
        history.add(epoch_done(number, top1))
    assert (
        training.live_lines(history, 21, loss=1.0, eta=None, width=80)[1] == " val acc ▁█ 90.0 %   train loss █▁ 1.000"
    )


SUMMARY: dict[str, Any] = {
    "kept": "best",
    "best": {"epoch": 2, "val_top1": 0.9, "train_top1": 0.95},
    "last": {"epoch": 3, "val_top1": 0.8, "train_top1": 0.99},
    "epochs": 3,
    "seconds": 98.0,
    "val_images": 1000,
    "stopped_early": False,
}


def test_the_summary(machine: Path) -> None:
    run = machine / "runs" / "a"
    run.mkdir(parents=True)
    (run / "model.safetensors").write_bytes(b"0" * 1_100_000)
    assert training.summary_lines(run, SUMMARY, width=80) == [
        "Done in 1 min 38 s   best epoch 2 of 3",
        "",
        "  val accuracy    90.0 %   (95 % interval 88.0-91.7, 1,000 images)",
        "  wrote           runs/a/",
        "                  model.safetensors 1.1 MB",
        "",
        "Next",
        "  resnetctl eval runs/a",
        "  resnetctl export runs/a --onnx",
    ]


def test_the_summary_folds_sentences_and_no_commands(tmp_path: Path) -> None:
    lines = training.summary_lines(tmp_path / ("long" * 20), SUMMARY, width=60)
    assert lines[2:4] == ["  val accuracy    90.0 %   (95 % interval 88.0-91.7, 1,000", " " * 18 + "images)"]
    assert lines[-1].endswith("long --onnx")


def test_the_summary_of_the_last_epoch_without_val(tmp_path: Path) -> None:
    last = {"epoch": 3, "train_top1": 0.99}
    lines = training.summary_lines(tmp_path, SUMMARY | {"kept": "last", "last": last, "stopped_early": True}, width=80)
    assert lines[0] == "Done in 1 min 38 s   last epoch 3 of 3   stopped early"
    assert lines[2] == "  train accuracy  99.0 %   (there is no val split)"


def test_a_summary_without_an_epoch(tmp_path: Path) -> None:
    lines = training.summary_lines(tmp_path, SUMMARY | {"best": None, "last": None}, width=80)
    assert lines[0] == "Done in 1 min 38 s"
    assert lines[2].startswith("  wrote ")


def test_what_is_left_counts_the_growing_images(started: Make) -> None:
    assert started().left(10) == 2.0
    assert started(start_step=10).left(20) == 1.0
    assert started(sides=((0, 4), (20, 8))).left(10) == 5.0  # 10 steps of a quarter, and 10 whole ones
