"""The text of a training run: header, table, live lines, summary."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resnetctl.cli.screen import epochs
from resnetctl.config.schema import FinetuneConfig, TrainConfig
from resnetctl.facts import EpochTimed, Started

Make = Callable[..., Started]
Epoch = Callable[..., EpochTimed]


def test_the_header_is_two_lines(started: Make) -> None:
    assert epochs.header(started(), "train", width=80) == [
        "resnetctl train  resnet20 on digits   272,474 params   cpu (1 thread)   seed 0",
        "runs/a   1,294 + 143 val images, 8 px   config from recipe fast + 1 flag",
    ]


@pytest.mark.parametrize(("precision", "shown"), [("bf16", "   bf16   config"), ("fp32", " px   config")])
def test_the_header_names_the_precision_of_16_bits(started: Make, precision: str, shown: str) -> None:
    config = TrainConfig(data="digits", device="cpu", threads=1, precision=precision)
    assert shown in epochs.header(started(config=config), "train", width=80)[1]


def test_the_header_names_a_block_that_replaces_the_archs_own(started: Make) -> None:
    line = epochs.header(started(block="se_basic"), "train", width=80)[0]
    assert line.startswith("resnetctl train  resnet20 + se_basic on digits   ")


def test_the_header_gives_the_first_and_last_size_of_growing_images(started: Make) -> None:
    assert "images, 4 to 8 px" in epochs.header(started(sides=((0, 4), (20, 8))), "train", width=80)[1]


@pytest.mark.parametrize(
    ("weights", "shown"),
    [("torchvision:resnet18", "torchvision:resnet18"), ("/elsewhere/net.safetensors", "/elsewhere/net.safetensors")],
)
def test_the_header_names_the_weights_that_the_run_starts_from(started: Make, weights: str, shown: str) -> None:
    config = FinetuneConfig(data="digits", device="cpu", threads=1, weights=weights)
    assert f"   from {shown}   " in "   ".join(epochs.header(started(config=config), "finetune", width=80)) + "   "


def test_weights_inside_the_current_folder_have_a_relative_path(started: Make) -> None:
    config = FinetuneConfig(data="digits", weights=str(Path.cwd() / "runs" / "a" / "model.safetensors"))
    assert "   from runs/a/model.safetensors" in epochs.header(started(config=config), "finetune", width=80)[1]


@pytest.mark.parametrize("teacher", ["runs/big/model.safetensors", "torchvision:resnet50"])
def test_the_header_names_the_teacher_and_its_run(started: Make, teacher: str) -> None:
    path = teacher if ":" in teacher else str(Path.cwd() / teacher)
    config = TrainConfig(data="digits", distill={"teacher": path, "method": "dkd"})
    lines = epochs.header(started(config=config, teacher="resnet56"), "train", width=80)
    assert f"taught by resnet56, {teacher} (dkd)" in "   ".join(lines)


def test_a_long_header_is_wrapped_and_not_cut(started: Make) -> None:
    run = Path("runs/20261123-214412-preact_resnet110-a-long-dataset-name")
    lines = epochs.header(started(run=run, val_images=0), "train", width=80)
    assert lines[1:] == [f"{run}   1,294 images, 8 px", "config from recipe fast + 1 flag"]


def test_a_long_name_of_a_heads_number_does_not_touch_its_neighbour(started: Make) -> None:
    columns = epochs.columns(started(head="mine", primary="panoptic quality"), 90)
    head = epochs.table_head(columns)[0]
    assert "train loss  panoptic quality" in head
    assert "val loss" not in head


def test_the_header_of_a_dry_run_on_a_gpu(started: Make) -> None:
    config = TrainConfig(data="digits", epochs=3, device="cuda", threads=4)
    first, second = epochs.header(started(run=None, config=config), "train", width=80)
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
def test_the_sources_of_the_config_are_summed_up(origins: dict[str, str], text: str) -> None:
    assert epochs.config_sources(origins) == text


def test_the_table_with_val(started: Make, epoch_done: Epoch) -> None:
    history = epochs.History(started=started(best=0.9194))
    columns = epochs.columns(history.started, 80)
    assert [*epochs.table_head(columns), epochs.epoch_line(epoch_done(8, 0.875), history, columns=columns)] == [
        " epoch      lr  train loss  val loss  val acc     best    img/s     time",
        " " + "─" * 71,
        "     8  0.0987       0.250     0.500   87.5 %   91.9 %    1,912    3.1 s",
    ]


def test_the_table_while_images_grow(started: Make, epoch_done: Epoch) -> None:
    """The column shows the image size of the epoch's last step; 80 characters are enough for the table."""
    history = epochs.History(started=started(sides=((0, 16), (15, 20), (20, 32))))
    columns = epochs.columns(history.started, 80)
    lines = [epochs.epoch_line(epoch_done(n, 1.0, is_best=True), history, columns=columns) for n in (1, 2, 3)]
    assert epochs.table_head(columns)[0].split()[:3] == ["epoch", "px", "lr"]
    assert [line.split()[:2] for line in lines] == [["1", "16"], ["2", "20"], ["3", "32"]]
    assert max(map(len, lines)) == 80
    assert "px" not in dict(epochs.columns(history.started, 60))


def test_an_epoch_without_a_step_in_this_process_has_no_speed(started: Make, epoch_done: Epoch) -> None:
    history = epochs.History(started=started())
    fact = dataclasses.replace(epoch_done(3, 0.5), images_per_second=0.0)
    assert epochs.epoch_line(fact, history, columns=epochs.columns(history.started, 80)).split()[-3:-2] == ["-"]


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
def test_a_narrow_table_has_fewer_columns(started: Make, epoch_done: Epoch, width: int, names: str) -> None:
    history = epochs.History(started=started())
    columns = epochs.columns(history.started, width)
    assert " ".join(name for name, _ in columns) == names
    line = epochs.epoch_line(epoch_done(100, 1.0, is_best=True, seconds=36000), history, columns=columns)
    assert line.endswith(" 10:00:00  *")
    assert max(map(len, [*epochs.table_head(columns), line])) <= width


@pytest.mark.parametrize(
    ("width", "names"), [(60, "epoch lr train loss train acc img/s time"), (41, "epoch train loss train acc time")]
)
def test_the_table_without_val(started: Make, epoch_done: Epoch, width: int, names: str) -> None:
    history = epochs.History(started=started(val_images=0))
    columns = epochs.columns(history.started, width)
    head, rule = epochs.table_head(columns)
    line = epochs.epoch_line(epoch_done(1, None), history, columns=columns)
    assert head.split() == names.split()
    assert len(head) == len(rule) == len(line) <= width


@pytest.mark.parametrize(("before", "expected"), [(None, [0.0, 0.9, 0.9]), (0.85, [0.85, 0.9, 0.9])])
def test_the_best_includes_epochs_before_a_resume(
    epoch_done: Epoch, started: Make, before: float | None, expected: list[float]
) -> None:
    history, bests = epochs.History(started=started(best=before)), []
    assert history.best == before
    for number, top1 in enumerate([0.0, 0.9, 0.7], 5):
        history.add(epoch_done(number, top1))
        bests.append(history.best)
    assert bests == expected
    assert history.val_top1 == [0.0, 0.9, 0.7]


@pytest.mark.parametrize(
    ("step", "left", "right"),
    [
        (1, "epoch 1/3 ", " 1/10 loss 1.500 ETA 0:01:04"),
        (10, "epoch 1/3 ", " 10/10 loss 1.500 ETA 0:01:04"),
        (11, "epoch 2/3 ", " 1/10 loss 1.500 ETA 0:01:04"),
        (30, "epoch 3/3 ", " 10/10 loss 1.500 ETA 0:01:04"),
    ],
)
def test_live_lines_show_epoch_step_loss_and_eta(started: Make, step: int, left: str, right: str) -> None:
    lines = epochs.live_lines(epochs.History(started=started()), step, loss=1.5, eta=64, width=80)
    assert lines[0].startswith(left)
    assert lines[0].endswith(right)
    assert len(lines[0]) == 79
    assert lines[-1] == epochs.HINT


def test_a_narrow_screen_never_cuts_the_eta(started: Make, epoch_done: Epoch) -> None:
    history = epochs.History(started=started())
    for number in range(1, 10):
        history.add(epoch_done(number, 0.5))
    lines = epochs.live_lines(history, 17, loss=1.5, eta=3600 * 30, width=40)
    assert lines[0].startswith("epoch 2/3 ")
    assert lines[0].endswith(" 7/10 ETA 1 day, 6:00:00")
    assert [line.split()[:2] for line in lines[1:3]] == [["val", "acc"], ["train", "loss"]]
    assert max(map(len, lines[:-1])) < 40


def test_live_lines_of_a_run_that_ends_mid_epoch(started: Make) -> None:
    history = epochs.History(started=started(steps=25))
    line = epochs.live_lines(history, 24, loss=1.0, eta=None, width=80)[0]
    assert line.startswith("epoch 3/3 ")
    assert line.endswith(" 4/5 loss 1.000")


def test_live_lines_show_trends(started: Make, epoch_done: Epoch) -> None:
    history = epochs.History(started=started())
    for number, top1 in ((1, 0.5), (2, 0.9)):
        history.add(epoch_done(number, top1))
    assert epochs.live_lines(history, 21, loss=1.0, eta=None, width=80)[1] == " val acc ▁█ 90.0 %   train loss █▁ 1.000"


SUMMARY: dict[str, Any] = {
    "kept": "best",
    "best": {"epoch": 2, "val_top1": 0.9, "train_top1": 0.95},
    "last": {"epoch": 3, "val_top1": 0.8, "train_top1": 0.99},
    "epochs": 3,
    "seconds": 98.0,
    "val_images": 1000,
    "stopped_early": False,
}


def test_the_summary_shows_accuracy_files_and_next_commands(machine: Path) -> None:
    run = machine / "runs" / "a"
    run.mkdir(parents=True)
    (run / "model.safetensors").write_bytes(b"0" * 1_100_000)
    assert epochs.summary_lines(run, SUMMARY, width=80) == [
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


def test_the_summary_wraps_sentences_but_no_commands(tmp_path: Path) -> None:
    lines = epochs.summary_lines(tmp_path / ("long" * 20), SUMMARY, width=60)
    assert lines[2:4] == ["  val accuracy    90.0 %   (95 % interval 88.0-91.7, 1,000", " " * 18 + "images)"]
    assert lines[-1].endswith("long --onnx")


def test_the_summary_of_the_last_epoch_without_val(tmp_path: Path) -> None:
    last = {"epoch": 3, "train_top1": 0.99}
    lines = epochs.summary_lines(tmp_path, SUMMARY | {"kept": "last", "last": last, "stopped_early": True}, width=80)
    assert lines[0] == "Done in 1 min 38 s   last epoch 3 of 3   stopped early"
    assert lines[2] == "  train accuracy  99.0 %   (there is no val split)"


def test_a_run_without_an_epoch_has_a_summary(tmp_path: Path) -> None:
    lines = epochs.summary_lines(tmp_path, SUMMARY | {"best": None, "last": None}, width=80)
    assert lines[0] == "Done in 1 min 38 s"
    assert lines[2].startswith("  wrote ")


def test_the_work_left_counts_the_pixels_of_growing_images(started: Make) -> None:
    assert started().left(10) == 2.0
    assert started(start_step=10).left(20) == 1.0
    assert started(sides=((0, 4), (20, 8))).left(10) == 5.0  # 10 steps of a quarter, and 10 whole ones
