"""A target is a run, a weights file or an ONNX file; anything else is an error that helps."""

from pathlib import Path

import numpy as np
import pytest
from support.trained import card, make_run, network

from resnetctl import runs
from resnetctl.engine.hardware import precision
from resnetctl.errors import InputError, PluginError, UsageError, WeightsError
from resnetctl.hints import Call, Setting, in_shell
from resnetctl.spec import Plugins
from resnetctl.system import settings, storage
from resnetctl.tasks.targets import has_head, open_target, resolve
from resnetctl.weights.file import to_bytes


@pytest.fixture
def run() -> runs.RunDir:
    return make_run(card())


def test_no_target_means_the_newest_run_by_its_real_name(run: runs.RunDir) -> None:
    target = resolve(None, settings.load())
    assert (target.kind, target.path, target.run) == ("weights", run.weights, run)
    assert target.notices == ()


def test_a_later_run_does_not_move_a_resolved_target(run: runs.RunDir) -> None:
    target = resolve(None, settings.load())
    make_run(card(), name="second")
    assert target.path.parent.name == "first"
    assert resolve(None, settings.load()).path.parent.name == "second"


@pytest.mark.parametrize("text", ["first", "runs/first", "last", "runs/last", "runs/first/model.safetensors"])
def test_a_run_is_found_by_every_name(run: runs.RunDir, text: str) -> None:
    target = resolve(text, settings.load())
    assert target.path.samefile(run.weights)
    assert target.run is not None
    assert target.run.path.samefile(run.path)


def test_a_file_outside_of_a_run_has_no_run(machine: Path) -> None:
    (machine / "net.safetensors").write_bytes(b"")
    assert resolve("net.safetensors", settings.load()).run is None


def test_another_file_in_a_run_is_not_the_run(run: runs.RunDir) -> None:
    other = run.path / "other.safetensors"
    other.write_bytes(b"")
    assert resolve(other, settings.load()).run is None


def test_the_onnx_file_of_a_run_belongs_to_it(run: runs.RunDir) -> None:
    run.write_onnx(b"")
    target = resolve(run.onnx, settings.load())
    assert (target.kind, target.run) == ("onnx", run)
    loose = run.path / "copy.onnx"
    loose.write_bytes(b"")
    assert resolve(loose, settings.load()).run is None


def test_without_a_run_the_error_names_a_command_that_trains_one() -> None:
    with pytest.raises(InputError, match="no run yet") as caught:
        resolve(None, settings.load())
    assert in_shell(caught.value.hint[0]).startswith("resnetctl train --data digits")
    assert caught.value.exit_code == 3


def test_an_unknown_run_gets_a_suggestion(run: runs.RunDir) -> None:
    with pytest.raises(InputError, match="no run 'frist'") as caught:
        resolve("frist", settings.load())
    assert caught.value.hint == ("did you mean 'first'?",)


@pytest.mark.parametrize("name", ["gone.onnx", "gone.safetensors", "gone.pth"])
def test_a_missing_file_is_an_error(name: str) -> None:
    with pytest.raises(WeightsError, match="no such file"):
        resolve(name, settings.load())


def test_a_pickle_must_be_imported_first(machine: Path) -> None:
    (machine / "old.pth").write_bytes(b"")
    with pytest.raises(WeightsError, match="imported first") as caught:
        resolve("old.pth", settings.load())
    assert in_shell(caught.value.hint[0]).startswith("resnetctl weights import old.pth")


def test_a_file_of_another_kind_is_refused(machine: Path) -> None:
    (machine / "notes.txt").write_text("")
    with pytest.raises(WeightsError, match="neither"):
        resolve("notes.txt", settings.load())


def test_an_unfinished_run_is_used_with_a_notice() -> None:
    make_run(card(), finished=False)
    (notice,) = resolve("first", settings.load()).notices
    assert "not finished" in notice
    assert "resume the run to finish it" in notice


def test_a_running_run_is_used_with_a_notice() -> None:
    make_run(card(), finished=False)
    with runs.find("first", settings.load().runs_dir).locked():
        assert resolve("first", settings.load()).notices == ("runs/first is still running: using its weights so far",)


def test_the_error_for_a_run_without_weights_offers_a_resume() -> None:
    run = make_run(card(), finished=False)
    storage.remove(run.weights)
    with pytest.raises(WeightsError, match="did not finish its first epoch") as caught:
        resolve("first", settings.load())
    assert caught.value.hint == (Call("train", settings={"resume": run.path}),)


def test_the_error_for_a_run_that_failed_early_names_the_newest_run_with_weights() -> None:
    make_run(card(), name="good")
    run = make_run(card(), finished=False)
    storage.remove(run.weights)
    run.save_failure("step 3: x")
    with pytest.raises(WeightsError, match="it failed in its first epoch") as caught:
        resolve(None, settings.load())
    assert tuple(map(in_shell, caught.value.hint)) == (
        "resnetctl runs show runs/first    shows the reason",
        "runs/good is the newest run with weights",
    )


@pytest.mark.parametrize("text", [None, "last", "second"])
def test_a_run_without_its_plugin_names_the_newest_run_that_can_be_used(text: str | None) -> None:
    make_run(card())
    make_run(card(plugins=Plugins(required={"absent": "1.2"})), name="second")
    (runs.create(settings.load().runs_dir, "third", config="", sources={}, env={})).save_weights(b"damaged")
    if text != "second":
        runs.remove(runs.find("third", settings.load().runs_dir))
    with pytest.raises(PluginError, match=r"these weights need absent==1\.2") as caught:
        resolve(text, settings.load())
    assert "runs/first is the newest run that can be used here" in caught.value.hint
    assert resolve(text, settings.load(), needs_network=False).path.is_file()


def test_an_opened_target_predicts_with_the_network(machine: Path) -> None:
    path = machine / "net.safetensors"
    path.write_bytes(to_bytes(network().state_dict(), card()))
    opened = open_target(resolve(path, settings.load()), settings.load(), device="cpu")
    assert opened.card == card()
    logits = opened.predict(np.zeros((2, 8, 8, 1), np.uint8))
    assert logits.shape == (2, 3)
    assert np.array_equal(logits[0], logits[1])


def test_weights_answer_in_bf16_only_when_they_are_asked_to(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "bf16_instructions", lambda: "amx_bf16")
    path = machine / "net.safetensors"
    path.write_bytes(to_bytes(network().state_dict(), card()))
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1), np.uint8)
    exact, default, rough, chosen = (
        open_target(resolve(path, settings.load()), settings.load(), device="cpu", **how)
        for how in ({"precision": "fp32"}, {}, {"precision": "bf16"}, {"precision": "auto"})
    )
    assert np.array_equal(exact.predict(images), default.predict(images))
    assert np.array_equal(rough.predict(images), chosen.predict(images))
    assert not np.array_equal(exact.predict(images), rough.predict(images))
    assert exact.digest == default.digest
    assert rough.digest == chosen.digest != exact.digest


def test_an_onnx_file_has_the_precision_of_its_numbers(run: runs.RunDir) -> None:
    run.write_onnx(b"")
    with pytest.raises(UsageError, match="cannot compute in bf16") as caught:
        open_target(resolve(run.onnx, settings.load()), settings.load(), precision="bf16")
    assert caught.value.where == Setting("precision")


def test_a_missing_device_is_an_error(machine: Path) -> None:
    run = make_run(card())
    with pytest.raises(UsageError, match="no device"):
        open_target(resolve(run.path, settings.load()), settings.load(), device="cuda:99")


def test_a_classifier_and_a_damaged_onnx_file_have_no_head(run: runs.RunDir, machine: Path) -> None:
    assert not has_head(resolve(None, settings.load()))
    damaged = machine / "damaged.onnx"
    damaged.write_bytes(b"\xff" * 50)
    target = resolve(damaged, settings.load())
    assert not has_head(target)
    with pytest.raises(WeightsError, match="not an ONNX file"):
        open_target(target, settings.load())
