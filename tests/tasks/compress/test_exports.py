"""A file of `compress` is measured on val, and says what that took."""

import time
from collections.abc import Iterator

import numpy as np
import pytest
from support.trained import card, make_run, make_store

from resnetctl import runs
from resnetctl.compress import latency
from resnetctl.compress.int8 import Limits
from resnetctl.data.store import open_store
from resnetctl.deploy import parity
from resnetctl.deploy.onnx_checks import check
from resnetctl.errors import CheckFailed
from resnetctl.system import settings
from resnetctl.tasks.compress import exports
from resnetctl.tasks.compress.exports import Timed, float_file, int8_file
from resnetctl.tasks.compress.judge import Judge
from resnetctl.weights.file import Header, load_network, read_header


@pytest.fixture(autouse=True)
def run() -> runs.RunDir:
    """A run whose files are exported and timed in earnest."""
    return make_run(card(make_store()))


@pytest.fixture
def subject(run: runs.RunDir) -> tuple[Judge, Header]:
    header = read_header(run.weights)
    return Judge(header.card, open_store(settings.load().data_dir, "zoo")), header


def test_a_float_file_has_the_accuracy_of_its_network(subject: tuple[Judge, Header]) -> None:
    judge, header = subject
    file = float_file(judge, header, name="whole")
    assert file.accuracy == judge.accuracy(load_network(header))
    assert int(file.is_right.sum()) == round(file.accuracy.top1 * file.accuracy.count)
    assert file.took.export > 100 * file.took.predict > 0
    assert file.took.read > 0
    assert check(file.data, "whole").gate["images"] == min(18, sum(parity.BATCHES))


def test_an_int8_file_is_named_and_measured(subject: tuple[Judge, Header], monkeypatch: pytest.MonkeyPatch) -> None:
    judge, header = subject
    monkeypatch.setattr(latency, "SECONDS", 0.01)
    source = float_file(judge, header, name="2-finetune")
    limits = Limits(max_drop=100.0, allow_slower=True)
    file = int8_file(judge, header, source=source, name="int8", limits=limits)
    assert (file.name, file.is_int8, file.took) == ("int8", True, source.took)
    assert file.data != source.data
    assert check(file.data, "int8").gate["int8"]["data"] == "zoo"


def test_a_file_that_does_not_agree_with_torch_is_refused(
    subject: tuple[Judge, Header], monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, header = subject
    other = exports.torch_predictor

    def shifted(*args: object, **options: object) -> object:
        predict = other(*args, **options)  # type: ignore[arg-type]
        return lambda images: predict(images) + np.arange(3, dtype=np.float32)

    monkeypatch.setattr(exports, "torch_predictor", shifted)
    with pytest.raises(CheckFailed, match="does not agree with torch"):
        float_file(judge, header, name="whole")


def test_the_time_of_a_predictor_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    clock: Iterator[float] = iter([1.0, 3.0, 10.0, 10.5])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    predict = Timed(lambda images: np.zeros((len(images), 3), np.float32))
    predict(np.zeros((2, 8, 8, 1), np.uint8))
    predict(np.zeros((2, 8, 8, 1), np.uint8))
    assert predict.seconds == 2.5
