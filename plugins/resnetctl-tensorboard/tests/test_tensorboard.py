"""Event files follow every rule of resnetctl, and TensorBoard's own reader finds every number in them."""

from pathlib import Path

import pytest
from resnetctl_tensorboard import events
from resnetctl_tensorboard.trackers import tensorboard

from resnetctl.spec import TrackedRun
from resnetctl.testing import conformance

test_conformance = conformance("resnetctl-tensorboard")


def run(folder: Path, *, epoch: int = 0) -> TrackedRun:
    return TrackedRun(path=folder, folder=folder, config={"data": "digits", "optim.lr": 0.1}, epoch=epoch)


def test_the_checksum_is_crc_32c() -> None:
    assert events.crc32c(b"123456789") == 0xE3069283
    assert events.crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4


def test_numbers_of_any_size_are_written_as_varints() -> None:
    assert events._varint(0) == b"\0"
    assert events._varint(300) == b"\xac\x02"


def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    tracking = tensorboard.start(run(tmp_path))
    for number in (1, 2):
        tracking.epoch(number, {"train_loss": 1.5 / number, "val_top1": 0.25 * number, "lr": 0.1})
    tracking.close("stopped")
    resumed = tensorboard.start(run(tmp_path, epoch=1))
    for number in (2, 3):
        resumed.epoch(number, {"train_loss": 0.5, "val_top1": 0.75, "lr": 0.01})
    resumed.close("finished")
    found = accumulator.EventAccumulator(str(tmp_path))
    found.Reload()
    tags = found.Tags()
    assert sorted(tags["scalars"]) == ["lr", "train/loss", "val/top1"]
    assert [(item.step, item.value) for item in found.Scalars("train/loss")] == [(1, 1.5), (2, 0.5), (3, 0.5)]
    text = found.Tensors("config/text_summary" if "config/text_summary" in tags["tensors"] else "config")[0]
    assert b"optim.lr = 0.1" in text.tensor_proto.string_val[0]


def test_a_file_that_a_killed_process_left_is_read_to_its_last_whole_record(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    tracking = tensorboard.start(run(tmp_path))
    tracking.epoch(1, {"train_loss": 1.5})
    tracking.epoch(2, {"train_loss": 1.0})
    (path,) = tmp_path.glob("events.*")
    path.write_bytes(path.read_bytes()[:-5])
    found = accumulator.EventAccumulator(str(tmp_path))
    found.Reload()
    assert [item.step for item in found.Scalars("train/loss")] == [1]
