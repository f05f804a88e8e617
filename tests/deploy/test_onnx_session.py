"""Accepted ONNX files run on onnxruntime; damaged files are refused."""

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.onnx_files import small_model
from support.trained import IMAGE, card

from resnetctl.deploy import onnx_session
from resnetctl.deploy.onnx_checks import check
from resnetctl.deploy.raw.writer import with_preprocessing
from resnetctl.errors import DataError, WeightsError, WorkFailed


def test_a_good_file_runs() -> None:
    model = onnx_session.from_bytes(small_model().SerializeToString(), "m.onnx")
    images = np.random.default_rng(1).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)
    weight = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    assert model.card.weights == card()
    assert model.logits(images) == pytest.approx((images.reshape(5, 64) / np.float32(255)) @ weight, abs=1e-4)
    assert model.outputs(images)[1].sum(axis=1) == pytest.approx(np.ones(5))


def test_threads_that_wait_leave_the_cores_to_the_processes_that_decode() -> None:
    session = onnx_session.session(small_model().SerializeToString(), "m.onnx", threads=2)
    options = session.get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert options.intra_op_num_threads == 2


def test_a_file_on_disk_is_read_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(small_model().SerializeToString())
    assert check(onnx_session.read_bytes(path), "").weights.image == IMAGE


def test_flipped_bits_are_refused_or_change_nothing() -> None:
    """A flip inside the digest's own key may pass: then there is no digest to compare."""
    data = small_model().SerializeToString()
    images = np.random.default_rng(1).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    whole = onnx_session.from_bytes(data, "")
    random_source = random.Random(0)
    survived = 0
    for _ in range(300):
        broken = bytearray(data)
        broken[random_source.randrange(len(broken))] ^= 1 << random_source.randrange(8)
        try:
            model = onnx_session.from_bytes(bytes(broken), "")
        except WeightsError:
            continue
        survived += 1
        assert model.card == whole.card
        assert np.array_equal(model.logits(images), whole.logits(images))
    assert survived < 15


def test_only_plain_files_of_limited_size_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    (tmp_path / "large.onnx").write_bytes(b"0" * 11)
    monkeypatch.setattr(onnx_session, "MAX_BYTES", 10)
    for name, match in (
        ("pipe.onnx", "plain file"),
        ("large.onnx", "the limit is 10"),
        ("gone.onnx", "no such file"),
    ):
        with pytest.raises(WeightsError, match=match):
            onnx_session.read_bytes(tmp_path / name)
    with pytest.raises(WeightsError, match="plain file"):
        onnx_session.read_bytes(Path("/dev/zero"))


def test_a_failure_inside_onnxruntime_is_work_failed() -> None:
    model = onnx_session.from_bytes(with_preprocessing(small_model().SerializeToString(), IMAGE), "")
    with pytest.raises(WorkFailed, match=r"onnxruntime failed: .*image_needs_1_3_or_4_channels"):
        model.logits(np.zeros((1, 9, 9, 2), np.uint8))


@pytest.mark.parametrize(
    "images",
    [
        np.full((1, 8, 8, 1), np.nan, np.float32),
        np.zeros((1, 1, 8, 8), np.uint8),
        np.zeros((1, 8, 8, 2), np.uint8),
        np.zeros((1, 8, 8, 5), np.uint8),
        np.zeros((1, 0, 8, 1), np.uint8),
        np.zeros((8, 8, 1), np.uint8),
    ],
    ids=["NaN", "CHW", "2 channels", "5 channels", "no height", "no batch"],
)
def test_other_images_are_refused_by_shape(images: np.ndarray) -> None:
    model = onnx_session.from_bytes(small_model().SerializeToString(), "")
    with pytest.raises(DataError) as caught:
        model.logits(images)
    assert caught.value.message == f"images are uint8 (B, 8, 8, 1), not {images.dtype} {images.shape}"


def test_an_empty_batch_has_no_answers() -> None:
    model = onnx_session.from_bytes(small_model().SerializeToString(), "")
    assert [item.shape for item in model.outputs(np.zeros((0, 8, 8, 1), np.uint8))] == [(0, 3), (0, 3)]


def test_bytes_that_look_like_onnxruntimes_own_format_run_as_onnx() -> None:
    """onnxruntime looks for `ORTM` in bytes 4 to 8. Bytes that were checked as ONNX must run as ONNX."""
    model = small_model(sealed=False)
    model.producer_name = "ORTM"
    data = model.SerializeToString()
    assert data[4:8] == b"ORTM"
    assert onnx_session.from_bytes(data, "").logits(np.zeros((1, 8, 8, 1), np.uint8)).shape == (1, 3)


def test_reading_imports_neither_torch_nor_onnx(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(small_model().SerializeToString())
    program = (
        "import sys; from pathlib import Path; from resnetctl.deploy import onnx_session as onnx\n"
        "onnx.from_bytes(onnx.read_bytes(Path(sys.argv[1])), '')\n"
        "print(sorted({'torch', 'torchvision', 'onnx', 'onnxscript', 'google'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_onnxruntime_reports_nothing_and_leaves_no_file(tmp_path: Path) -> None:
    """Run in a new process, because onnxruntime decides on import."""
    path, home = tmp_path / "m.onnx", tmp_path / "home"
    path.write_bytes(small_model().SerializeToString())
    home.mkdir()
    code = (
        "import os, sys; from pathlib import Path; from resnetctl.deploy import onnx_session as onnx\n"
        "onnx.from_bytes(Path(sys.argv[1]).read_bytes(), 'm')\n"
        "assert os.environ['ORT_DISABLE_TELEMETRY'] == '1'"
    )
    silent = {"CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS"}  # each would hide a missing setting of ours
    environment = {name: value for name, value in os.environ.items() if name not in silent} | {"HOME": str(home)}
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, env=environment)
    assert list(home.rglob("*")) == []
