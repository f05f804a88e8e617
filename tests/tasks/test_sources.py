"""Weights are found by run, file or name, and compared with the digest in the config."""

from pathlib import Path

import pytest
from support.trained import card, make_run, make_store

from resnetctl.config.schema import DistillConfig
from resnetctl.errors import InputError, UsageError, WeightsError
from resnetctl.hints import Setting
from resnetctl.system import settings, storage
from resnetctl.tasks.sources import open_teacher, open_weights, require_same_bytes


def test_a_run_and_its_file_are_the_same_weights() -> None:
    run = make_run(card(make_store()))
    by_run, by_file = (open_weights(text, settings.load()) for text in ("first", str(run.weights)))
    assert by_run.name == by_file.name == str(run.weights.resolve())
    assert by_run.sha256 == by_file.sha256 == storage.sha256(run.weights)
    assert by_run.weights.card.classes == ("ape", "bee", "cow")


def test_without_a_name_the_newest_run_is_opened_and_a_notice_passed_on() -> None:
    run = make_run(card(make_store()), finished=False)
    opened = open_weights("", settings.load())
    assert opened.name == str(run.weights.resolve())
    assert "not finished" in opened.notices[0]


def test_an_onnx_file_cannot_teach() -> None:
    Path("net.onnx").write_bytes(b"\x08\x0a")
    with pytest.raises(UsageError, match="a teacher is a weights file, not an ONNX file"):
        open_weights("net.onnx", settings.load(), key="distill.teacher")
    with pytest.raises(InputError, match="no run 'gone'"):
        open_teacher(DistillConfig(teacher="gone"), settings.load())


@pytest.mark.parametrize("key", ["weights", "distill.teacher"])
def test_the_bare_name_of_torchvisions_weights_names_them(key: str) -> None:
    make_run(card(make_store()))
    with pytest.raises(InputError, match="no run 'resnet18'") as caught:
        open_weights("resnet18", settings.load(), key=key)
    assert caught.value.hint == (
        Setting(key, "torchvision:resnet18", note="ImageNet weights of torchvision"),
        "known: first",
    )
    with pytest.raises(InputError) as caught:
        open_weights("resnet7", settings.load(), key=key)
    assert caught.value.hint == ("known: first",)


def test_no_teacher_opens_nothing() -> None:
    assert open_teacher(DistillConfig(), settings.load()) is None


def test_another_digest_than_the_configs_is_refused() -> None:
    run = make_run(card(make_store()))
    right = open_teacher(DistillConfig(teacher="first", teacher_sha256=storage.sha256(run.weights)), settings.load())
    assert right is not None
    with pytest.raises(WeightsError, match="other weights than the config asks for") as caught:
        open_teacher(DistillConfig(teacher="first", teacher_sha256="00"), settings.load(), origin="config.toml:4")
    assert str(caught.value.where).endswith("distill.teacher_sha256 of config.toml:4")
    require_same_bytes(right, right.sha256, key="weights", origin="")
